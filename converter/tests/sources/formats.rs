//! The same network in other kinds of files: shards, folders of the Hub, NumPy archives, flax's msgpack, pickles of arrays.

use std::io::Write as _;

use detcon_converter::import::{ImportOptions, import};
use detcon_converter::location::Location;
use detcon_core::arch::{Normalization, ResNetSpec};
use detcon_core::model::ModelDirectory;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::json;

use super::network::{Tensor, tiny};
use super::pickled::{Item, Member, archive, dict, text, zip, zip_of};
use super::{Case, weights};

fn reference() -> String {
    let case = Case::new("model.safetensors", &safetensors(&tiny(1)));
    case.import(&ImportOptions::default()).unwrap();
    case.weights()
}

fn safetensors(tensors: &[(String, Tensor)]) -> Vec<u8> {
    let bytes: Vec<_> = tensors.iter().map(|(_, tensor)| tensor.bytes()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap();
        (name.clone(), view)
    });
    serialize(views, None).unwrap()
}

fn npy(tensor: &Tensor) -> Vec<u8> {
    let mut axes: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
    axes.push(String::new()); // a comma after the last
    let axes = axes.join(", ");
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({axes}), }}\n");
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [
        b"\x93NUMPY\x01\x00",
        &length[..],
        header.as_bytes(),
        &tensor.bytes(),
    ]
    .concat()
}

#[test]
fn tied_weights_in_channels_last_are_read() {
    let tensors = tiny(1);
    let pairs: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), Item::ChannelsLast(tensor.clone())))
        .collect();
    // Every tensor again under other names, three times: many times what the storages hold.
    let again = |prefix: &str| {
        let ties = tensors.iter().enumerate();
        ties.map(|(number, (name, _))| (format!("{prefix}{name}"), Item::Tied(number)))
            .collect::<Vec<_>>()
    };
    let all = [pairs, again("head.a."), again("head.b."), again("head.c.")].concat();
    let case = Case::new("tied.pth", &archive(&Item::Dict(all)));
    let options = super::named("");
    case.import(&options).unwrap();
    assert_eq!(case.weights(), reference());
}

#[test]
fn sharded_safetensors_are_one_network() {
    let tensors = tiny(1);
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("model-00001-of-00002.safetensors", &safetensors(first));
    write("model-00002-of-00002.safetensors", &safetensors(second));
    let map = |extra: Option<&str>| {
        let rows = first
            .iter()
            .map(|row| (row.0.clone(), "model-00001-of-00002.safetensors"));
        let more = second
            .iter()
            .map(|row| (row.0.clone(), "model-00002-of-00002.safetensors"));
        let extra = extra.map(|name| (name.to_owned(), "model-00002-of-00002.safetensors"));
        let map: std::collections::BTreeMap<_, _> = rows.chain(more).chain(extra).collect();
        json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string()
    };
    let index = "model.safetensors.index.json";
    write(index, map(None).as_bytes());
    let place = folder.path().join("model");
    for source in [folder.path().join(index), folder.path().to_owned()] {
        import(&Location::File(source), &place, &ImportOptions::default()).unwrap();
        assert_eq!(weights(&place), reference());
        std::fs::remove_dir_all(&place).unwrap();
    }
    let refused = |part: &str| {
        let source = Location::File(folder.path().to_owned());
        let error = import(&source, &place, &ImportOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(part) && !place.exists(), "{error}");
    };
    write(index, map(Some("fc.weight")).as_bytes());
    refused("fc.weight");
    write(index, map(None).as_bytes());
    write("model-00002-of-00002.safetensors", &safetensors(&tensors));
    refused("in two shards");
    std::fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
    refused("model-00002-of-00002.safetensors");
}

#[test]
fn a_folder_of_the_hub_says_what_its_weights_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let spec: ResNetSpec = "resnet50".parse().unwrap();
    let tensors: Vec<_> = spec
        .params()
        .into_iter()
        .map(|param| {
            let mut tensor = Tensor {
                values: vec![0.0; param.shape.iter().product()],
                shape: param.shape,
            };
            if param.name.ends_with("running_var") {
                tensor.values.fill(1.0);
            }
            (param.name, tensor)
        })
        .collect();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let pairs = tensors
        .into_iter()
        .map(|(name, tensor)| (name, Item::Tensor(tensor)));
    let bin = archive(&Item::Dict(pairs.collect()));
    std::fs::write(folder.path().join("pytorch_model.bin"), bin).unwrap();
    write(
        "config.json",
        json!({"model_type": "resnet", "downsample_in_bottleneck": true}).to_string(),
    );
    write(
        "preprocessor_config.json",
        json!({"do_normalize": false}).to_string(),
    );
    let place = folder.path().join("model");
    let source = Location::File(folder.path().to_owned());
    import(&source, &place, &ImportOptions::default()).unwrap();
    let found = ModelDirectory::open(&place).unwrap().manifest().spec;
    assert_eq!(found.to_string(), "resnet50+symmetric+stride1x1+none");
    assert_eq!(found.normalization(), Normalization::NONE);
    std::fs::remove_dir_all(&place).unwrap();
    write(
        "config.json",
        json!({"model_type": "resnet", "downsample_in_first_stage": true}).to_string(),
    );
    let error = import(&source, &place, &ImportOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("first stage strides"), "{error}");
}

#[test]
fn numpy_archives_are_read_stored_and_compressed() {
    let members: Vec<_> = tiny(1)
        .iter()
        .map(|(name, tensor)| (format!("{name}.npy"), npy(tensor)))
        .collect();
    let deflated: Vec<_> = members
        .iter()
        .map(|(_, bytes)| {
            let mut writer =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        })
        .collect();
    let compressed: Vec<_> = members
        .iter()
        .zip(&deflated)
        .map(|((name, bytes), deflated)| Member {
            name,
            method: 8,
            length: bytes.len(),
            bytes: deflated,
        })
        .collect();
    for file in [zip(&members), zip_of(&compressed)] {
        let case = Case::new("weights.npz", &file);
        let imported = case.import(&ImportOptions::default()).unwrap();
        assert_eq!(
            (case.weights(), imported.layout.as_str()),
            (reference(), "mapping of arrays")
        );
    }
}

/// `numpy.ndarray` as NumPy 1 pickles it, under the names that Detectron2 writes and with what it writes beside them.
#[test]
fn detectron2s_pickles_are_read() {
    let array = |tensor: &Tensor| {
        let shape: Vec<u8> = tensor
            .shape
            .iter()
            .flat_map(|&axis| [&b"J"[..], &i32::try_from(axis).unwrap().to_le_bytes()].concat())
            .collect();
        let bytes = tensor.bytes();
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [
            &b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01("[..],
            &shape,
            b"tcnumpy\ndtype\n(X\x02\x00\x00\x00f4\x89\x88tR(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89B",
            &length,
            &bytes,
            b"tb",
        ]
        .concat()
    };
    let mut pickle = [&b"\x80\x03}("[..], &text("model"), b"}("].concat();
    for (name, tensor) in tiny(1) {
        let name = if let Some(rest) = name.strip_prefix("conv1.") {
            format!("stem.conv1.{rest}")
        } else if let Some(rest) = name.strip_prefix("bn1.") {
            format!("stem.conv1.norm.{rest}")
        } else {
            let group: usize = name["layer".len()..="layer".len()].parse().unwrap();
            format!("res{}{}", group + 1, &name["layer1".len()..])
                .replace("downsample.0", "shortcut")
                .replace("downsample.1", "shortcut.norm")
                .replace("bn1", "conv1.norm")
                .replace("bn2", "conv2.norm")
        };
        pickle.extend([text(&name), array(&tensor)].concat());
    }
    pickle.extend(
        [
            &b"u"[..],
            &text("__author__"),
            &text("x"),
            &text("matching_heuristics"),
            b"\x88u.",
        ]
        .concat(),
    );
    let case = Case::new("R-50.pkl", &pickle);
    let imported = case.import(&ImportOptions::default()).unwrap();
    assert_eq!(case.weights(), reference());
    assert!(
        imported.layout.contains("Detectron2"),
        "{}",
        imported.layout
    );
}

/// A mapping of msgpack, from the trees of names with slashes.
fn packed(tree: &[(Vec<String>, Vec<u8>)], depth: usize) -> Vec<u8> {
    let mut keys: Vec<&String> = tree.iter().map(|row| &row.0[depth]).collect();
    keys.sort();
    keys.dedup();
    let mut bytes = [
        &b"\xde"[..],
        &u16::try_from(keys.len()).unwrap().to_be_bytes(),
    ]
    .concat();
    for key in keys {
        bytes.extend([0xd9, u8::try_from(key.len()).unwrap()]);
        bytes.extend(key.as_bytes());
        let below: Vec<_> = tree
            .iter()
            .filter(|row| &row.0[depth] == key)
            .cloned()
            .collect();
        match below.as_slice() {
            [(path, leaf)] if path.len() == depth + 1 => bytes.extend(leaf),
            _ => bytes.extend(packed(&below, depth + 1)),
        }
    }
    bytes
}

/// `_ndarray_to_bytes` and `_msgpack_ext_pack` of flax's `flax/serialization.py`.
fn extension(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let axes: Vec<u8> = shape
        .iter()
        .flat_map(|&axis| [&b"\xcd"[..], &u16::try_from(axis).unwrap().to_be_bytes()].concat())
        .collect();
    let data: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
    let inner = [
        &[0x93, 0x90 | u8::try_from(shape.len()).unwrap()][..],
        &axes,
        b"\xa7float32\xc6",
        &u32::try_from(data.len()).unwrap().to_be_bytes(),
        &data,
    ]
    .concat();
    [
        &b"\xc9"[..],
        &u32::try_from(inner.len()).unwrap().to_be_bytes(),
        &[1],
        &inner,
    ]
    .concat()
}

/// As `FlaxResNetModel.save_pretrained` of transformers writes it (`models/resnet/modeling_flax_resnet.py`).
fn flax(prefix: &str) -> Vec<u8> {
    let mut tree = Vec::new();
    for (name, tensor) in tiny(1) {
        let parts: Vec<&str> = name.split('.').collect();
        let leaf = *parts.last().unwrap();
        let (collection, leaf, kernel) = match (leaf, tensor.shape.len()) {
            ("weight", 4) => ("params", "kernel", true),
            ("weight", _) => ("params", "scale", false),
            ("bias", _) => ("params", "bias", false),
            ("running_mean", _) => ("batch_stats", "mean", false),
            _ => ("batch_stats", "var", false),
        };
        let part = if kernel {
            "convolution"
        } else {
            "normalization"
        };
        let module = match parts.as_slice() {
            [_, _] => format!("embedder/embedder/{part}"),
            [group, block, "downsample", ..] => {
                let stage = group["layer".len()..].parse::<usize>().unwrap() - 1;
                format!("encoder/stages/{stage}/layers/{block}/shortcut/{part}")
            }
            [group, block, module, _] => {
                let stage = group["layer".len()..].parse::<usize>().unwrap() - 1;
                let number = module
                    .trim_start_matches(char::is_alphabetic)
                    .parse::<usize>()
                    .unwrap()
                    - 1;
                format!("encoder/stages/{stage}/layers/{block}/layer/{number}/{part}")
            }
            other => panic!("{other:?}"),
        };
        let leaf_bytes = match tensor.shape.as_slice() {
            &[outputs, inputs, height, width] => {
                let mut values = Vec::new();
                for place in 0..height * width {
                    for input in 0..inputs {
                        for output in 0..outputs {
                            values.push(
                                tensor.values[(output * inputs + input) * height * width + place],
                            );
                        }
                    }
                }
                extension(&[height, width, inputs, outputs], &values)
            }
            shape => extension(shape, &tensor.values),
        };
        let path = format!("{collection}/{prefix}{module}/{leaf}");
        tree.push((path.split('/').map(str::to_owned).collect(), leaf_bytes));
    }
    packed(&tree, 0)
}

#[test]
fn flax_models_of_transformers_are_read() {
    for prefix in ["", "resnet/"] {
        let case = Case::new("flax_model.msgpack", &flax(prefix));
        let imported = case.import(&ImportOptions::default()).unwrap();
        assert_eq!(case.weights(), reference());
        assert!(imported.layout.contains("flax"), "{}", imported.layout);
        assert_eq!(imported.spec.to_string(), "tiny+symmetric");
    }
}

#[test]
fn files_that_are_not_read_say_what_to_do() {
    for (bytes, told) in [
        (&b"\x89HDF\r\n\x1a\n"[..], "h5py"),
        (b"\x1f\x8b\x08", "decompress"),
    ] {
        let error = Case::new("weights", bytes).refused(&ImportOptions::default());
        assert!(error.contains(told), "{error}");
    }
    let wrapped = dict([("epoch", Item::Int(3))]);
    let error = Case::new("weights.pth", &archive(&wrapped)).refused(&ImportOptions::default());
    assert!(error.contains("epoch"), "{error}");
}

/// The `ResNet` of flax's `examples/imagenet/models.py`.
#[test]
fn the_network_of_flaxs_examples_is_refused_for_its_padding() {
    let leaf = |path: &str, shape: &[usize]| {
        let tensor = Tensor::of(shape, 1);
        let keys = path.split('/').map(str::to_owned).collect();
        (keys, extension(&tensor.shape, &tensor.values))
    };
    let tree = [
        leaf("params/conv_init/kernel", &[7, 7, 3, 64]),
        leaf("params/ResNetBlock_0/Conv_0/kernel", &[3, 3, 64, 64]),
        leaf("batch_stats/bn_init/mean", &[64]),
    ];
    let case = Case::new("checkpoint_90", &packed(&tree, 0));
    let error = case.refused(&ImportOptions::default());
    assert!(
        error.contains("conv_init.kernel") && error.contains("flax's examples"),
        "{error}"
    );
}
