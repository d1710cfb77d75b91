use detcon_trainer::objective::{LocalNegatives, LossSettings, RegionVectors, detcon_loss};
use tch::{Kind, Tensor};

use crate::cases::{assert_close, cases};
use crate::golden::{assert_near, float, integer, json, objective, shaped};

/// With and without local negatives, and with a batch in which nothing has a positive.
#[test]
fn the_loss_and_its_gradients_are_upstreams() {
    let file = objective("loss.safetensors");
    for (case, settings) in cases(&file, ".loss") {
        let vectors = |name: &str| float(&file, &format!("{case}.{name}"));
        let ids = |name: &str| integer(&file, &format!("{case}.{name}"));
        let predictions = ["pred1", "pred2"].map(|name| vectors(name).set_requires_grad(true));
        let targets = ["target1", "target2"].map(vectors);
        let [prediction_ids, target_ids] =
            [["pind1", "pind2"], ["tind1", "tind2"]].map(|it| it.map(ids));
        let settings = LossSettings {
            temperature: settings["temperature"].as_f64().unwrap(),
            local_negatives: if settings["local_negatives"].as_bool().unwrap() {
                LocalNegatives::Included
            } else {
                LocalNegatives::Excluded
            },
        };
        let loss = detcon_loss(
            regions(&predictions, &prediction_ids),
            regions(&targets, &target_ids),
            0,
            settings,
        );
        let expected = vectors("loss").double_value(&[0]);
        assert_near(
            &format!("loss {case}"),
            loss.double_value(&[]),
            expected,
            1e-5,
        );
        let gradients = Tensor::run_backward(&[&loss], &predictions, false, false);
        for (gradient, name) in gradients.iter().zip(["grad_pred1", "grad_pred2"]) {
            assert_close(&format!("{case}.{name}"), gradient, &vectors(name), 1e-5);
        }
    }
}

/// In float64, as an independent implementation has it: the published code has no DetCon-S. The golden gradients lie
/// `[D, N, R]` in the file, though its header gives them their vectors' shape `[N, R, D]`: `laid_out` turns them.
#[test]
fn the_loss_of_detcon_s_and_its_gradients_are_another_implementations() {
    let file = objective("loss_detcon_s.safetensors");
    for case in json(&file, "cases").as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let tensor = |what: &str| shaped(&file.f64(&format!("{name}.{what}")).unwrap());
        let views = ["view0", "view1"].map(|it| tensor(it).set_requires_grad(true));
        let ids = ["ids0", "ids1"].map(|it| shaped(&file.i64(&format!("{name}.{it}")).unwrap()));
        let settings = LossSettings {
            temperature: case["temperature"].as_f64().unwrap(),
            local_negatives: LocalNegatives::Included,
        };
        let both = || regions(&views, &ids);
        let loss = detcon_loss(both(), both(), 0, settings);
        let expected = tensor("loss").double_value(&[0]);
        let found = loss.double_value(&[]);
        let error = (found - expected).abs() / expected.abs().max(1.0);
        assert!(error < 1e-6, "{name}: {found} instead of {expected}");
        let gradients = Tensor::run_backward(&[&loss], &views, false, false);
        for (gradient, what) in gradients.iter().zip(["gradient0", "gradient1"]) {
            let expected = laid_out(tensor(what), &tensor(&what.replace("gradient", "view")));
            assert_close(&format!("{name}.{what}"), gradient, &expected, 1e-6);
        }
    }
}

/// The gradient as it is meant. A file may hold it in the order in which it lay in memory, `[D, N, R]`, under the shape
/// of its vectors; a gradient of cosines is at right angles to its vectors, which says which it is.
fn laid_out(gradient: Tensor, vectors: &Tensor) -> Tensor {
    let (n, r, d) = vectors.size3().unwrap();
    let moved = gradient.reshape([d, n, r]).permute([1, 2, 0]);
    let along = |gradient: &Tensor| {
        let products = (gradient * vectors).sum_dim_intlist([2].as_slice(), false, Kind::Double);
        products.abs().max().double_value(&[])
    };
    if along(&moved) < along(&gradient) {
        moved
    } else {
        gradient
    }
}

fn regions<'a>(vectors: &'a [Tensor; 2], ids: &'a [Tensor; 2]) -> [RegionVectors<'a>; 2] {
    [0, 1].map(|view: usize| RegionVectors {
        vectors: &vectors[view],
        ids: &ids[view],
    })
}
