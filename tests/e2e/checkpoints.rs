//! What the unpickler reads against what the golden generator wrote, bit for bit.

use std::collections::BTreeMap;
use std::fs;

use detcon_converter::haiku::{HaikuTree, Network};
use detcon_converter::pickle::Limits;
use detcon_converter::source;
use detcon_core::checkpoint::Checkpoint;
use detcon_core::names::{Destination, HaikuNames, Transform};
use detcon_tests::{golden, models};

/// The published files call the backbone's batch norms `norm_0`; the generator's own tensors, `batchnorm_0`.
fn published_module(module: &str) -> String {
    if module.contains("res_net") {
        module.replace("batchnorm", "norm")
    } else {
        module.to_owned()
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn unpickled_tensors_are_the_generators_bit_for_bit() {
    for encoder in golden::encoders() {
        let bytes = fs::read(golden::checkpoint(&encoder.arch, encoder.seed, "released")).unwrap();
        let value = source::read(&bytes, &Limits::default()).unwrap();
        let tree = HaikuTree::read(&value, Network::Online).unwrap();
        let found: BTreeMap<_, _> = tree
            .entries
            .iter()
            .filter(|entry| entry.name != "counter")
            .map(|entry| (entry.key(), &entry.array))
            .collect();
        let generator = golden::generator_tensors(&encoder.arch, encoder.seed);
        assert_eq!(found.len(), generator.names().len(), "{}", encoder.arch);
        for name in generator.names() {
            let expected = generator.f32(&name).unwrap();
            let (module, parameter) = name.rsplit_once('/').unwrap();
            let array = found[&format!("{}/{parameter}", published_module(module))];
            assert_eq!(array.shape(), expected.shape, "{name} of {}", encoder.arch);
            assert!(
                bits(&array.to_f32().unwrap()) == bits(&expected.values),
                "{name} of {} differs",
                encoder.arch
            );
        }
    }
}

/// Every value of the imported safetensors file is one of the generator's, at the place its axes say.
#[test]
fn imported_weights_are_the_generators_bit_for_bit() {
    for encoder in golden::encoders() {
        let model = models::imported(&encoder.arch, encoder.seed);
        let spec = model.manifest().spec;
        let bytes = fs::read(model.path().join("model.safetensors")).unwrap();
        let checkpoint = Checkpoint::from_bytes(spec, &bytes).unwrap();
        let generator = golden::generator_tensors(&encoder.arch, encoder.seed);
        let names = HaikuNames::new(spec);
        let mut compared = 0;
        for name in generator.names() {
            let (module, parameter) = name.rsplit_once('/').unwrap();
            let Ok(Destination::Backbone {
                name: param,
                transform,
            }) = names.destination(module, parameter)
            else {
                continue;
            };
            let expected = generator.f32(&name).unwrap();
            let expected = match transform {
                Transform::HwioToOihw => oihw(&expected),
                Transform::Identity
                | Transform::DropLeadingOnes
                | Transform::Transpose
                | Transform::Fresh => expected.values,
            };
            assert!(
                bits(checkpoint.get(&param).values()) == bits(&expected),
                "{param} of {} differs",
                encoder.arch
            );
            compared += 1;
        }
        assert_eq!(compared, spec.params().len());
    }
}

fn oihw(kernel: &golden::Array<f32>) -> Vec<f32> {
    let [height, width, inputs, outputs] = kernel.shape[..] else {
        panic!("{:?} is no kernel", kernel.shape)
    };
    let mut values = Vec::with_capacity(kernel.values.len());
    for o in 0..outputs {
        for i in 0..inputs {
            for place in 0..height * width {
                values.push(kernel.values[(place * inputs + i) * outputs + o]);
            }
        }
    }
    values
}

#[test]
fn the_parameter_table_is_the_published_codes() {
    for path in golden::files("layouts", &["json"]) {
        let layout: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let arch = path.file_stem().unwrap().to_str().unwrap();
        let spec: detcon_core::arch::ResNetSpec = arch.parse().unwrap();
        let entries = [&layout["params"], &layout["state"]]
            .into_iter()
            .flat_map(|part| part.as_array().unwrap());
        let mut published: BTreeMap<String, Vec<usize>> = entries
            .map(|entry| {
                let key = format!(
                    "{}/{}",
                    entry[0].as_str().unwrap(),
                    entry[1].as_str().unwrap()
                );
                let shape = entry[2]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|n| usize::try_from(n.as_u64().unwrap()).unwrap());
                (key.replace("/~/", "/"), shape.collect())
            })
            .collect();
        published.retain(|key, _| {
            key.contains("res_net") && !key.ends_with("/hidden") && !key.ends_with("/counter")
        });
        let ours: BTreeMap<String, Vec<usize>> = spec
            .params()
            .iter()
            .map(|param| {
                let network = spec.depth().haiku_module();
                (
                    format!("{network}/{}/{}", param.haiku.module, param.haiku.name),
                    param.haiku_shape(),
                )
            })
            .collect();
        assert_eq!(ours, published, "{arch}");
    }
}
