//! Compiles what the trainer calls of libtorch beside tch (`shim/`), and lets programs find libtorch when they start.

/// The files of the shim.
#[cfg(feature = "torch")]
const SHIM: [&str; 4] = [
    "shim/autograd.cpp",
    "shim/device.cpp",
    "shim/group.cpp",
    "shim/lists.cpp",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    #[cfg(feature = "torch")]
    shim();
}

/// With the feature `torch` alone: without it there is no `cc` either.
#[cfg(feature = "torch")]
fn shim() {
    let libtorch =
        std::env::var_os("LIBTORCH").expect("LIBTORCH names no folder: `make` fetches one");
    let libtorch = std::path::Path::new(&libtorch);
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .debug(false)
        // libtorch's headers are full of warnings.
        .warnings(false)
        .define("USE_DISTRIBUTED", None)
        .define("USE_C10D_GLOO", None)
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include("shim")
        .include("shim/include")
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"))
        .files(SHIM)
        .compile("detcon_shim");
    // Beside the program first, so that a packed program brings its own.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    println!(
        "cargo::rustc-link-arg=-Wl,-rpath,{}",
        libtorch.join("lib").display()
    );
}
