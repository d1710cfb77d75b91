//! Lets programs that were linked to libtorch find it when they start.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    // Beside the program first, so that a packed program brings its own.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    if let Some(libtorch) = std::env::var_os("LIBTORCH") {
        let libtorch = std::path::Path::new(&libtorch).join("lib");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", libtorch.display());
    }
}
