//! Holds the direction of flow: crates depend, and modules import, downwards alone.
//!
//! The lists below run from top to bottom. Nothing may name what stands above it in its list, so there are no circles;
//! what is in no list, or is listed and gone, is a fault too. The folder of a list may itself stand in another. What is
//! compiled for tests alone is exempt.

mod crates;
mod made_up;
mod order;
mod rooms;
mod source;
mod tree;

use std::path::Path;

use crate::order::{Exception, Layers};

/// The workspace's crates, by their folders.
const CRATES: Layers<'_> = Layers {
    of: "Cargo.toml",
    names: "tests server extractor trainer converter inference data core",
    exceptions: &[
        Exception {
            user: "trainer",
            uses: "tests",
            reason: "its own tests read the golden data; the crate of the tests, without libtorch, does not use it",
        },
        Exception {
            user: "extractor",
            uses: "tests",
            reason: "its own tests hold it to a server's answers; the crate of the tests, without Parquet, does not use it",
        },
    ],
};

/// Folders of modules whose order is held.
const MODULES: &[Layers<'_>] = &[
    Layers {
        of: "core/src",
        names: "model reference projector regions segment preprocess image checkpoint names arch \
            files digest addresses",
        exceptions: &[],
    },
    Layers {
        of: "converter/src",
        names: "commands ensure inspect next_step quantized_import verify export demo import \
            quantize model_writer self_check stem_check convention transformers timm onnx source location folder \
            fetch published haiku torch npz npy archive msgpack pickle mapped progress",
        exceptions: &[],
    },
    Layers {
        of: "converter/src/pickle",
        names: "torch numpy foreign construct collect stack machine reader op escape seal arena value \
            storage array error limits kind meaning allow dtype shared",
        exceptions: &[],
    },
    Layers {
        of: "inference/src",
        names: "model engine network regions segmentation view prepare batch cost graph session \
            held library error precision compute output",
        exceptions: &[],
    },
    Layers {
        of: "server/src",
        names: "fuzzing cli serve config api protect http models engine observe",
        exceptions: &[],
    },
    Layers {
        of: "server/src/serve",
        names: "start routes middleware drain connections conversation tls",
        exceptions: &[],
    },
    Layers {
        of: "server/src/http",
        names: "contents multipart encode written json inflate body urgency fields parameters error_format \
            accept provenance problem image_fetch origin",
        exceptions: &[],
    },
    Layers {
        of: "server/src/models",
        names: "loader store registry model watch error",
        exceptions: &[],
    },
    Layers {
        of: "server/src/engine",
        names: "work pool batcher queue job turns urgency cost memory",
        exceptions: &[],
    },
    Layers {
        of: "server/src/observe",
        names: "engines metrics process telemetry lines timing stats phase outcome id",
        exceptions: &[],
    },
    Layers {
        of: "trainer/src",
        names: "commands report export finetune probe frozen run judge loader memory recipe learner \
            optimizer schedule objective network augment distributed device objects masks tensor random",
        exceptions: &[],
    },
    Layers {
        of: "extractor/src",
        names: "commands pipeline output work input place count",
        exceptions: &[],
    },
    Layers {
        of: "data/src",
        names: "shards sample example tfrecord annotations image_name share",
        exceptions: &[],
    },
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate of the tests lies in the workspace")
}

#[test]
fn crates_depend_downwards() {
    assert_none(&crates::faults(root(), &CRATES));
}

#[test]
fn modules_import_downwards() {
    let faults: Vec<String> = MODULES
        .iter()
        .flat_map(|layers| rooms::faults(root(), layers))
        .collect();
    assert_none(&faults);
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
