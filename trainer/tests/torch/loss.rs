use detcon_trainer::objective::{LocalNegatives, LossSettings, RegionVectors, detcon_loss};
use tch::Tensor;

use crate::cases::{assert_close, cases};
use crate::golden::{assert_near, float, integer, objective};

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

fn regions<'a>(vectors: &'a [Tensor; 2], ids: &'a [Tensor; 2]) -> [RegionVectors<'a>; 2] {
    [0, 1].map(|view: usize| RegionVectors {
        vectors: &vectors[view],
        ids: &ids[view],
    })
}
