//! Prints the OpenAPI document: `make openapi` writes it to `openapi/openapi.json`.

fn main() -> anyhow::Result<()> {
    println!("{}", detcon_server::document().to_pretty_json()?);
    Ok(())
}
