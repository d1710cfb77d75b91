use std::collections::HashMap;

use detcon_tests::golden::Tensors;
use detcon_trainer::augment::{Augmentation, ColorOp, ViewSettings, apply, augment, ops};
use detcon_trainer::random::stream;
use serde_json::Value;
use tch::{Kind, Tensor};

use crate::cases::{assert_close, cases};
use crate::golden::{float, objective};

/// dm-pix's blur leaves about 1e-5 to the order of its sums.
const BLUR_TOLERANCE: f64 = 1e-4;
const TOLERANCE: f64 = 1e-5;

fn planes(image: &Tensor) -> Tensor {
    image.permute([2, 0, 1]).unsqueeze(0).contiguous()
}

/// `CROP.OPERATION…` of the file: the crop's number, the operation, its settings, what came out.
fn operations(file: &Tensors) -> Vec<(Tensor, String, HashMap<String, Value>, Tensor)> {
    let cases = cases(file, "").into_iter();
    cases
        .map(|(case, settings)| {
            let mut parts = case.split('.');
            let input = float(file, &format!("input{}", parts.next().unwrap()));
            let operation = parts.next().unwrap().to_owned();
            (
                planes(&input),
                operation,
                settings,
                planes(&float(file, &case)),
            )
        })
        .collect()
}

#[test]
fn every_operation_is_dm_pixs() {
    let file = objective("augment.safetensors");
    for (input, operation, settings, expected) in operations(&file) {
        let parameter = |key: &str| {
            Tensor::from_slice(&[settings[key].as_f64().unwrap()]).to_kind(tch::Kind::Float)
        };
        let mut tolerance = TOLERANCE;
        let found = match operation.as_str() {
            "brightness" => ops::brightness(&input, &parameter("delta")),
            "contrast" => ops::contrast(&input, &parameter("factor")),
            "saturation" => ops::saturation(&input, &parameter("factor")),
            "hue" => ops::hue(&input, &parameter("delta")),
            "grayscale" => ops::grayscale(&input),
            "solarize" => ops::solarize(&input, &parameter("threshold")),
            "blur" => {
                tolerance = BLUR_TOLERANCE;
                ops::blur(&input, &parameter("sigma"))
            }
            "chain" => {
                tolerance = BLUR_TOLERANCE;
                apply(&input, &[plan(&settings["ops"])])
            }
            other => panic!("{other} is no operation"),
        };
        assert_close(
            &format!("{operation} {settings:?}"),
            &found,
            &expected,
            tolerance,
        );
    }
}

/// The same images in one batch, each with an operation of its own, come out as alone.
#[test]
fn images_of_a_batch_keep_their_own_plans() {
    let file = objective("augment.safetensors");
    let chains = operations(&file).into_iter().filter(|it| it.1 == "chain");
    let (images, plans): (Vec<Tensor>, Vec<Augmentation>) = chains
        .map(|(input, _, settings, _)| (input, plan(&settings["ops"])))
        .unzip();
    let nothing = Augmentation {
        colors: Vec::new(),
        grayscale: false,
        blur: None,
        solarize: None,
    };
    let mut swapped = plans[0].clone();
    swapped.colors.reverse();
    swapped.grayscale = true;
    let plans = [plans, vec![nothing, swapped]].concat();
    let further = ["input0", "input1"].map(|name| planes(&float(&file, name)));
    let images: Vec<Tensor> = images.into_iter().chain(further).collect();
    let images = Tensor::cat(&images, 0);
    let together = apply(&images, &plans);
    for (place, plan) in (0..).zip(&plans) {
        let alone = apply(&images.narrow(0, place, 1), std::slice::from_ref(plan));
        assert_close(
            "an image of a batch",
            &together.narrow(0, place, 1),
            &alone,
            1e-6,
        );
    }
}

/// What a CPU does to one image is what a GPU does to a batch: golden chains, single changes, and what is drawn.
#[test]
fn an_image_on_the_cpu_is_changed_as_in_a_batch() {
    for (name, seed) in [("input0", 1), ("input1", 2)] {
        let file = objective("augment.safetensors");
        let pixels = (float(&file, name) * 255.0).round().to_kind(Kind::Uint8);
        let side = usize::try_from(pixels.size()[0]).unwrap();
        let bytes = Vec::<u8>::try_from(pixels.flatten(0, -1)).unwrap();
        let image = planes(&(pixels.to_kind(Kind::Float) / 255.0));
        let mut random = stream(seed, "test", &[]);
        let drawn = (0..40).flat_map(|_| {
            ViewSettings::UPSTREAM.map(|settings| Augmentation::draw(&settings, &mut random))
        });
        let golden = operations(&file).into_iter();
        let golden = golden
            .filter(|it| it.1 == "chain")
            .map(|it| plan(&it.2["ops"]));
        let strong = ViewSettings {
            jitter: 1.0,
            strengths: [1.0; 4],
            solarize: 0.5,
            ..ViewSettings::UPSTREAM[1]
        };
        let mut random = stream(seed + 2, "test", &[]);
        let strong: Vec<_> = (0..40)
            .map(|_| Augmentation::draw(&strong, &mut random))
            .collect();
        for plan in drawn.chain(golden).chain(strong) {
            let mut found = vec![0.0; bytes.len()];
            augment(&bytes, side, &plan, &mut found);
            let found = Tensor::from_slice(&found).view_as(&image);
            let expected = apply(&image, std::slice::from_ref(&plan));
            // A solarization turns over what rounding puts on the other side of its threshold.
            let apart = (found - &expected)
                .abs()
                .gt(1e-4)
                .sum(Kind::Int64)
                .int64_value(&[]);
            let allowed = if plan.solarize.is_some() { 3 } else { 0 };
            assert!(apart <= allowed, "{apart} values of {plan:?}");
        }
    }
}

/// A golden chain (`[["brightness", 0.2], ["clip"], …]`) as what is drawn for an image.
fn plan(operations: &Value) -> Augmentation {
    let mut plan = Augmentation {
        colors: Vec::new(),
        grayscale: false,
        blur: None,
        solarize: None,
    };
    for operation in operations.as_array().unwrap() {
        let parameter = operation[1].as_f64();
        let mut color = |op| plan.colors.push((op, parameter.unwrap()));
        match operation[0].as_str().unwrap() {
            "brightness" => color(ColorOp::Brightness),
            "contrast" => color(ColorOp::Contrast),
            "saturation" => color(ColorOp::Saturation),
            "hue" => color(ColorOp::Hue),
            "blur" => plan.blur = parameter,
            "solarize" => plan.solarize = parameter,
            "clip" => {}
            other => panic!("{other} is no operation"),
        }
    }
    plan
}
