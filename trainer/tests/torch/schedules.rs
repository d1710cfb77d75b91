use detcon_tests::golden::directory;
use detcon_trainer::schedule::{LearningRate, TargetDecay};
use serde_json::Value;

use crate::golden::assert_near;

fn schedules(kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(directory().join("objective/schedules.json")).unwrap();
    let schedules: Value = serde_json::from_str(&text).unwrap();
    let cases = schedules[kind].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn learning_rates_are_upstreams() {
    for case in schedules("lr") {
        let number = |key: &str| case[key].as_u64().unwrap();
        let rate = LearningRate {
            base: case["base_learning_rate"].as_f64().unwrap(),
            batch: number("batch"),
            warmup_steps: number("warmup_steps"),
            max_steps: number("max_steps"),
        };
        let found = rate.at(number("step"));
        assert_near(&case.to_string(), found, case["lr"].as_f64().unwrap(), 1e-5);
    }
}

#[test]
fn target_decays_are_upstreams() {
    for case in schedules("ema") {
        let decay = TargetDecay {
            base: case["base"].as_f64().unwrap(),
            max_steps: case["max_steps"].as_u64().unwrap(),
        };
        let found = decay.at(case["step"].as_u64().unwrap());
        assert_near(
            &case.to_string(),
            found,
            case["tau"].as_f64().unwrap(),
            1e-5,
        );
    }
}
