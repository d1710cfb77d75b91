use std::process::{Command, Output};

fn detcon_train(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_detcon-train"));
    program.args(arguments).output().unwrap()
}

#[test]
fn sanity_takes_a_step_of_either_method() {
    for method in ["detcon-b", "detcon-s"] {
        let method = format!("method={method}");
        let output = detcon_train(&[
            "sanity",
            "--set",
            "arch=tiny",
            "--set",
            "image_size=96",
            "--set",
            &method,
        ]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("tiny 96 batch 4: loss "), "{said}");
    }
}

#[test]
fn a_setting_that_does_not_exist_is_one_line_that_names_it() {
    let output = detcon_train(&["sanity", "--set", "lossy=1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("unknown field `lossy`") && said.lines().count() == 1,
        "{said}"
    );
}
