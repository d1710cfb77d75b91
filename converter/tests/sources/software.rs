//! One test for each software whose key sets are known, with the file in which they were read. Names and wrappers are
//! written here as that software writes them, apart from the converter's own table.

use detcon_converter::import::ImportOptions;
use detcon_core::arch::Padding;
use detcon_core::model::ModelDirectory;

use super::network::{Tensor, tiny};
use super::pickled::{Item, archive, dict, namespace};
use super::{Case, named};

/// The network that must be taken, and another that must not.
const RIGHT: usize = 1;
const WRONG: usize = 2;

type Rename = fn(&str) -> String;

/// A network's tensors with a prefix, their names made by `rename`, and PyTorch's counters.
fn network(seed: usize, prefix: &str, rename: Rename) -> Vec<(String, Item)> {
    let mut pairs = Vec::new();
    for (name, tensor) in tiny(seed) {
        let counter = name.strip_suffix("running_var").map(str::to_owned);
        pairs.push((format!("{prefix}{}", rename(&name)), Item::Tensor(tensor)));
        if let Some(norm) = counter {
            let name = rename(&format!("{norm}num_batches_tracked"));
            pairs.push((format!("{prefix}{name}"), Item::Tensor(Tensor::of(&[], 7))));
        }
    }
    pairs
}

fn same(name: &str) -> String {
    name.to_owned()
}

/// Tensors that are none of the backbone's.
fn others(names: &[&str]) -> Vec<(String, Item)> {
    let tensor = |name: &&str| ((*name).to_owned(), Item::Tensor(Tensor::of(&[4, 4], 9)));
    names.iter().map(tensor).collect()
}

fn all(parts: impl IntoIterator<Item = Vec<(String, Item)>>) -> Item {
    Item::Dict(parts.into_iter().flatten().collect())
}

/// `utils/convert_fcn.py` of KKallidromitis/detcon-pytorch, the other way round.
fn children(name: &str) -> String {
    let (module, rest) = name.split_once('.').unwrap();
    let child = match module {
        "conv1" => "0",
        "bn1" => "1",
        "layer1" => "4",
        "layer2" => "5",
        "layer3" => "6",
        "layer4" => "7",
        other => panic!("{other}"),
    };
    format!("{child}.{rest}")
}

/// `EncoderwithProjection` of KKallidromitis/detcon-pytorch's `model/basic_modules.py`.
fn pyramid(name: &str) -> String {
    let (child, rest) = {
        let name = children(name);
        let (child, rest) = name.split_once('.').unwrap();
        (child.parse::<usize>().unwrap(), rest.to_owned())
    };
    match child {
        0 | 1 => format!("C1.{child}.{rest}"),
        group => format!("C{}.{rest}", group - 2),
    }
}

/// `convert_to_detectron2_names` of VISSL's `extra_scripts/convert_vissl_to_detectron2.py`.
fn detectron2(name: &str) -> String {
    let mut name = format!(".{name}")
        .replace(".downsample.0.", ".shortcut.")
        .replace(".downsample.1.", ".shortcut.norm.");
    for (ours, theirs) in [
        ("layer1", "res2"),
        ("layer2", "res3"),
        ("layer3", "res4"),
        ("layer4", "res5"),
    ] {
        name = name.replace(&format!(".{ours}."), &format!(".{theirs}."));
    }
    for norm in 1..=3 {
        name = name.replace(&format!(".bn{norm}."), &format!(".conv{norm}.norm."));
    }
    let name = name.trim_start_matches('.');
    if name.starts_with("conv1") {
        format!("stem.{name}")
    } else {
        name.to_owned()
    }
}

/// `convert_classy_trunk_to_vissl_model` of VISSL's `extra_scripts/convert_classy_vision_to_vissl_resnet.py`, the other way
/// round.
fn classy(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("conv1.") {
        return format!("initial_block._module.0.{rest}");
    }
    if let Some(rest) = name.strip_prefix("bn1.") {
        return format!("initial_block._module.1.{rest}");
    }
    let mut parts = name.splitn(3, '.');
    let group: usize = parts.next().unwrap()["layer".len()..].parse().unwrap();
    let (block, rest) = (parts.next().unwrap(), parts.next().unwrap());
    let rest = [
        ("conv1.", "0."),
        ("bn1.", "1."),
        ("conv2.", "3."),
        ("bn2.", "4."),
        ("conv3.", "6."),
    ]
    .into_iter()
    .find_map(|(ours, theirs)| {
        let rest = rest.strip_prefix(ours)?;
        Some(format!("convolutional_block.{theirs}{rest}"))
    })
    .unwrap_or_else(|| rest.replacen("bn3.", "bn.", 1));
    format!("blocks.{0}.block{0}-{block}.{rest}", group - 1)
}

/// `ResNetEmbeddings` and `ResNetEncoder` of transformers' `models/resnet/modeling_resnet.py`.
fn transformers(name: &str) -> String {
    let part = |module: &str| {
        if module.starts_with("conv") {
            "convolution"
        } else {
            "normalization"
        }
    };
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        [module, leaf] => format!("embedder.embedder.{}.{leaf}", part(module)),
        [group, block, "downsample", half, leaf] => {
            let group: usize = group["layer".len()..].parse().unwrap();
            let part = if *half == "0" {
                "convolution"
            } else {
                "normalization"
            };
            format!(
                "encoder.stages.{}.layers.{block}.shortcut.{part}.{leaf}",
                group - 1
            )
        }
        [group, block, module, leaf] => {
            let group: usize = group["layer".len()..].parse().unwrap();
            let number: usize = module
                .trim_start_matches(char::is_alphabetic)
                .parse()
                .unwrap();
            format!(
                "encoder.stages.{}.layers.{block}.layer.{}.{}.{leaf}",
                group - 1,
                number - 1,
                part(module)
            )
        }
        other => panic!("{other:?}"),
    }
}

/// What must come of a file.
struct Expected {
    /// Where the network is.
    place: &'static str,
    /// What is set aside, among other things.
    aside: &'static [&'static str],
    /// Where the other network is, if there is one.
    other: Option<&'static str>,
}

/// The weights that a plain file of torchvision's names gives.
fn plain(seed: usize) -> String {
    let case = Case::new("plain.pth", &archive(&all([network(seed, "", same)])));
    case.import(&ImportOptions::default()).unwrap();
    case.weights()
}

fn check(software: &str, source: &str, item: &Item, expected: &Expected) {
    let case = Case::new("checkpoint.pth", &archive(item));
    let imported = case.import(&ImportOptions::default()).unwrap();
    assert_eq!(case.weights(), plain(RIGHT), "{software}");
    let spec = ModelDirectory::open(&case.place()).unwrap().manifest().spec;
    assert_eq!(spec.padding(), Padding::Symmetric);
    let aside = case.aside();
    for wanted in expected.aside {
        assert!(
            aside.iter().any(|(key, _)| key == wanted),
            "{software}: {wanted} is not in {aside:?}"
        );
    }
    println!(
        "| {software} | {source} | {} | {} | {}, {} in all | {} |",
        imported.spec,
        expected.place,
        expected.aside.join(" "),
        aside.len(),
        spec.padding()
    );
    assert_eq!(
        imported.taken.is_some(),
        expected.other.is_some(),
        "{software}"
    );
    let again = Case::new("checkpoint.pth", &archive(item));
    again.import(&named(expected.place)).unwrap();
    assert_eq!(again.weights(), plain(RIGHT), "{software}");
    if let Some(other) = expected.other {
        let again = Case::new("checkpoint.pth", &archive(item));
        again.import(&named(other)).unwrap();
        assert_eq!(again.weights(), plain(WRONG), "{software}");
    }
}

/// A test for each row: the software, the file in which its keys were read, what it saves, where the network is, what is set
/// aside, and where another network is.
macro_rules! software {
    ($($name:ident, $source:literal, $item:expr, $place:literal, [$($aside:literal),*], $other:expr;)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), $source, &$item, &Expected { place: $place, aside: &[$($aside),*], other: $other });
            }
        )*
    };
}

software! {
    torchvision, "torchvision's `models/resnet.py`",
        all([network(RIGHT, "", same), others(&["fc.weight", "fc.bias"])]),
        "", ["fc.weight", "fc.bias"], None;
    moco, "MoCo's `moco/builder.py` and `main_moco.py`",
        dict([
            ("epoch", Item::Int(200)), ("arch", Item::Text("resnet50")),
            ("state_dict", all([
                network(RIGHT, "module.encoder_q.", same), others(&["module.encoder_q.fc.0.weight", "module.encoder_q.fc.2.bias"]),
                network(WRONG, "module.encoder_k.", same), others(&["module.queue", "module.queue_ptr"]),
            ])),
            ("optimizer", dict([("state", dict([("0", all([others(&["momentum_buffer"])]))])), ("param_groups", Item::List(vec![]))])),
        ]),
        "state_dict.module.encoder_q",
        ["optimizer", "epoch", "module.queue", "module.encoder_q.fc.0.weight", "module.encoder_k.conv1.weight"],
        Some("state_dict.module.encoder_k");
    moco_v3, "MoCo v3's `moco/builder.py` and `main_lincls.py`",
        dict([("state_dict", all([
            network(RIGHT, "module.base_encoder.", same), others(&["module.base_encoder.fc.0.weight"]),
            network(WRONG, "module.momentum_encoder.", same), others(&["module.predictor.0.weight"]),
        ]))]),
        "state_dict.module.base_encoder", ["module.predictor.0.weight"], Some("state_dict.module.momentum_encoder");
    simsiam, "SimSiam's `simsiam/builder.py` and `main_simsiam.py`",
        dict([("epoch", Item::Int(100)), ("state_dict", all([
            network(RIGHT, "module.encoder.", same), others(&["module.encoder.fc.0.weight", "module.predictor.0.weight"]),
        ]))]),
        "state_dict.module.encoder", ["module.encoder.fc.0.weight", "module.predictor.0.weight"], None;
    swav, "SwAV's `src/resnet50.py` and `hubconf.py`",
        all([network(RIGHT, "module.", same), others(&["module.projection_head.0.weight", "module.prototypes.weight"])]),
        "module", ["module.projection_head.0.weight", "module.prototypes.weight"], None;
    barlow_twins, "Barlow Twins' `main.py`",
        dict([("epoch", Item::Int(100)), ("model", all([
            network(RIGHT, "module.backbone.", same), others(&["module.projector.0.weight", "module.bn.running_mean"]),
        ])), ("optimizer", dict([("state", Item::Dict(vec![]))]))]),
        "model.module.backbone", ["module.projector.0.weight", "module.bn.running_mean"], None;
    vicreg, "VICReg's `main_vicreg.py` and `evaluate.py`",
        dict([("model", all([network(RIGHT, "module.backbone.", same), others(&["module.projector.0.weight"])]))]),
        "model.module.backbone", ["module.projector.0.weight"], None;
    dino, "DINO's `main_dino.py` and `utils.py` (`MultiCropWrapper`)",
        dict([
            ("student", all([network(WRONG, "module.backbone.", same), others(&["module.head.mlp.0.weight"])])),
            ("teacher", all([network(RIGHT, "backbone.", same), others(&["head.mlp.0.weight"])])),
            ("optimizer", dict([("state", Item::Dict(vec![]))])), ("epoch", Item::Int(99)),
            ("args", namespace()), ("dino_loss", all([others(&["center"])])),
        ]),
        "teacher.backbone", ["student", "args", "dino_loss", "head.mlp.0.weight"], Some("student.module.backbone");
    pixpro, "PixPro's `contrast/models/PixPro.py`, `main_pretrain.py` and `main_linear.py`",
        dict([("opt", namespace()), ("model", all([
            network(RIGHT, "module.encoder.", same), network(WRONG, "module.encoder_k.", same),
            others(&["module.projector.linear1.weight"]),
        ]))]),
        "model.module.encoder", ["opt", "module.projector.linear1.weight"], Some("model.module.encoder_k");
    solo_learn, "solo-learn's `solo/methods/base.py` and `main_linear.py`, in a checkpoint of Lightning's",
        dict([
            ("epoch", Item::Int(1)), ("pytorch-lightning_version", Item::Text("2.0.2")),
            ("state_dict", all([
                network(RIGHT, "backbone.", same), network(WRONG, "momentum_backbone.", same),
                others(&["classifier.weight", "projector.0.weight"]),
            ])),
            ("callbacks", Item::Dict(vec![])), ("optimizer_states", Item::List(vec![all([others(&["exp_avg"])])])),
            ("hyper_parameters", Item::Raw(
                b"cpytorch_lightning.utilities.parsing\nAttributeDict\n)\x81(X\x02\x00\x00\x00lrK\x01X\x04\x00\x00\x00pathcpathlib\nPosixPath\nX\x01\x00\x00\x00/\x85Ru".to_vec())),
        ]),
        "state_dict.backbone", ["hyper_parameters", "optimizer_states", "classifier.weight"], Some("state_dict.momentum_backbone");
    lightly_byol, "lightly's `examples/pytorch_lightning/byol.py`",
        dict([("state_dict", all([
            network(RIGHT, "backbone.", children), network(WRONG, "backbone_momentum.", children),
            others(&["projection_head.layers.0.weight", "prediction_head.layers.0.weight"]),
        ]))]),
        "state_dict.backbone", ["projection_head.layers.0.weight"], Some("state_dict.backbone_momentum");
    lightly_dino, "lightly's `examples/pytorch_lightning/dino.py`",
        dict([("state_dict", all([
            network(WRONG, "student_backbone.", children), network(RIGHT, "teacher_backbone.", children),
            others(&["student_head.layers.0.weight", "criterion.center"]),
        ]))]),
        "state_dict.teacher_backbone", ["criterion.center"], Some("state_dict.student_backbone");
    mmselfsup_moco, "mmselfsup's `models/algorithms/moco.py` and `tools/model_converters/extract_backbone_weights.py`",
        dict([("meta", dict([("epoch", Item::Int(200))])), ("state_dict", all([
            network(RIGHT, "backbone.", same), others(&["neck.mlp.0.weight", "queue"]),
            network(WRONG, "encoder_k.module.0.", same), others(&["encoder_k.module.1.mlp.0.weight", "encoder_k.steps"]),
        ]))]),
        "state_dict.backbone", ["meta", "queue", "neck.mlp.0.weight"], Some("state_dict.encoder_k.module.0");
    mmselfsup_byol, "mmselfsup's `models/algorithms/byol.py`",
        dict([("state_dict", all([
            network(RIGHT, "backbone.", same), network(WRONG, "target_net.module.0.", same), others(&["neck.fc0.weight"]),
        ]))]),
        "state_dict.backbone", ["neck.fc0.weight"], Some("state_dict.target_net.module.0");
    vissl, "VISSL's `extra_scripts/convert_vissl_to_torchvision.py`",
        dict([("phase_idx", Item::Int(9)), ("classy_state_dict", dict([("base_model", dict([
            ("model", dict([
                ("trunk", all([network(RIGHT, "_feature_blocks.", same)])),
                ("heads", all([others(&["0.clf.0.weight"])])),
            ])),
            ("meta", dict([("trunk", Item::Dict(vec![]))])),
        ]))]))]),
        "classy_state_dict.base_model.model.trunk._feature_blocks",
        ["phase_idx", "classy_state_dict.base_model.model.heads"], None;
    classy_vision, "VISSL's `extra_scripts/convert_classy_vision_to_vissl_resnet.py`",
        dict([("classy_state_dict", dict([("base_model", dict([("model", dict([
            ("trunk", all([network(RIGHT, "", classy)])),
        ]))]))]))]),
        "classy_state_dict.base_model.model.trunk", [], None;
    detcon_pytorch_lightning, "isaaccorley/detcon-pytorch's `detcon/models.py`",
        dict([("state_dict", all([
            network(RIGHT, "network.encoder.", children), others(&["network.projector.0.weight", "predictor.3.bias"]),
        ])), ("hyper_parameters", dict([("backbone", Item::Text("resnet50"))]))]),
        "state_dict.network.encoder", ["network.projector.0.weight", "hyper_parameters"], None;
    detcon_pytorch, "KKallidromitis/detcon-pytorch's `trainer/detconb_trainer.py` and `utils/convert_fcn.py`",
        dict([("config", dict([("amp", Item::Int(1))])), ("epoch", Item::Int(3)), ("model", all([
            network(RIGHT, "module.online_network.encoder.", children), others(&["module.online_network.projetion.net.0.weight"]),
            network(WRONG, "module.target_network.encoder.", children), others(&["module.predictor.predictor.net.0.weight"]),
        ])), ("amp", Item::Dict(vec![]))]),
        "model.module.online_network.encoder", ["config", "module.online_network.projetion.net.0.weight"],
        Some("model.module.target_network.encoder");
    detcon_pytorch_pyramid, "KKallidromitis/detcon-pytorch's `model/basic_modules.py`, with a feature pyramid",
        dict([("model", all([
            network(RIGHT, "module.online_network.", pyramid), others(&["module.online_network.fpn.P5_conv1.weight"]),
            network(WRONG, "module.target_network.", pyramid),
        ]))]),
        "model.module.online_network", ["module.online_network.fpn.P5_conv1.weight"], Some("model.module.target_network");
    byol_pytorch, "byol-pytorch's `byol_pytorch/byol_pytorch.py` and `README.md`",
        all([
            network(RIGHT, "online_encoder.net.", same), others(&["online_encoder.projector.0.weight", "online_predictor.0.weight"]),
            network(WRONG, "target_encoder.net.", same),
        ]),
        "online_encoder.net", ["online_predictor.0.weight"], Some("target_encoder.net");
    simclr_pytorch, "sthalles/SimCLR's `models/resnet_simclr.py` and `simclr.py`",
        dict([("epoch", Item::Int(200)), ("arch", Item::Text("resnet18")), ("state_dict", all([
            network(RIGHT, "backbone.", same), others(&["backbone.fc.0.weight", "backbone.fc.2.bias"]),
        ]))]),
        "state_dict.backbone", ["backbone.fc.0.weight"], None;
    detectron2_detector, "Detectron2's `modeling/backbone/resnet.py` and `modeling/backbone/fpn.py`, by VISSL's `extra_scripts/convert_vissl_to_detectron2.py`",
        dict([("model", all([
            network(RIGHT, "backbone.bottom_up.", detectron2),
            others(&["backbone.fpn_lateral2.weight", "proposal_generator.rpn_head.conv.weight", "pixel_mean"]),
        ])), ("iteration", Item::Int(89))]),
        "model.backbone.bottom_up", ["pixel_mean", "iteration", "backbone.fpn_lateral2.weight"], None;
    transformers_classifier, "transformers' `models/resnet/modeling_resnet.py` (`ResNetForImageClassification`)",
        all([network(RIGHT, "resnet.", transformers), others(&["classifier.1.weight"])]),
        "resnet", ["classifier.1.weight"], None;
    transformers_model, "transformers' `models/resnet/modeling_resnet.py` (`ResNetModel`)",
        all([network(RIGHT, "", transformers)]),
        "", [], None;
    timm_with_averages, "timm's `models/_helpers.py` (`load_state_dict`) and `train.py`",
        dict([
            ("epoch", Item::Int(5)), ("arch", Item::Text("resnet18")), ("args", namespace()),
            ("state_dict", all([network(WRONG, "", same)])), ("state_dict_ema", all([network(RIGHT, "", same)])),
        ]),
        "state_dict_ema", ["state_dict", "args"], Some("state_dict");
    torch_compile, "`OptimizedModule` of PyTorch's `torch/_dynamo/eval_frame.py`",
        dict([("model", all([network(RIGHT, "_orig_mod.module.", same)]))]),
        "model.module", [], None;
    heads_and_buffers_inside, "a normalising module's buffers and a head beside the network's own modules",
        all([network(RIGHT, "module.", same), others(&["module.mean", "module.std", "module.head.weight", "module.head.mlp.0.bias"])]),
        "module", ["module.mean", "module.std", "module.head.weight", "module.head.mlp.0.bias"], None;
}
