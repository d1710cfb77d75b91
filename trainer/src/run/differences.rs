//! In what two recipes differ.

use toml::{Table, Value};

use crate::recipe::{Recipe, RecipeError};

/// `KEY: OLD is now NEW` for each key.
pub(super) fn between(old: &Recipe, new: &Recipe) -> Result<Vec<String>, RecipeError> {
    let table = |recipe: &Recipe| Recipe::to_toml(recipe).map(|text| text.parse::<Table>());
    let (Ok(old), Ok(new)) = (table(old)?, table(new)?) else {
        return Ok(vec!["a recipe does not read back".to_owned()]);
    };
    let mut differences = Vec::new();
    compare("", &old, &new, &mut differences);
    Ok(differences)
}

fn compare(above: &str, old: &Table, new: &Table, differences: &mut Vec<String>) {
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let name = format!("{above}{key}");
        match (old.get(key), new.get(key)) {
            (Some(Value::Table(old)), Some(Value::Table(new))) => {
                compare(&format!("{name}."), old, new, differences);
            }
            (old, new) if old != new => {
                let say =
                    |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
                differences.push(format!("{name}: {} is now {}", say(old), say(new)));
            }
            (_, _) => {}
        }
    }
}
