//! Prints the JSON Schema of a model directory's manifest: `make openapi` writes it to `openapi/`.

fn main() -> Result<(), serde_json::Error> {
    let schema = schemars::schema_for!(detcon_core::model::Manifest);
    println!("{}", serde_json::to_string_pretty(&schema)?);
    Ok(())
}
