//! What stands in place of what: a recipe over the defaults, `KEY=VALUE` from the command line over the recipe.

use toml::{Table, Value};

use super::RecipeError;

/// Tables of which one key is given: another key is another choice.
const CHOICES: [&str; 3] = ["duration", "warmup", "optimizer"];

/// Puts the value of `KEY=VALUE` where its key says, dots leading into tables. What is no TOML value is a string.
pub(super) fn apply(whole: &mut Table, assignment: &str) -> Result<(), RecipeError> {
    let over = table(assignment).filter(|over| !clashes(whole, over));
    let over = over.ok_or_else(|| RecipeError::Override {
        assignment: assignment.to_owned(),
    })?;
    merge(whole, over);
    Ok(())
}

/// A table that holds nothing but what is assigned.
fn table(assignment: &str) -> Option<Table> {
    let (key, value) = assignment.split_once('=')?;
    let names: Vec<&str> = key.trim().split('.').collect();
    let (last, tables) = names.split_last()?;
    if names.contains(&"") {
        return None;
    }
    let innermost = Table::from_iter([((*last).to_owned(), parse(value))]);
    let around = |inner, name: &&str| Table::from_iter([((*name).to_owned(), Value::Table(inner))]);
    Some(tables.iter().rfold(innermost, around))
}

/// Whether `over` assigns below something that is no table.
fn clashes(whole: &Table, over: &Table) -> bool {
    over.iter()
        .any(|(key, value)| match (whole.get(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => clashes(below, above),
            (Some(_), Value::Table(_)) => true,
            (_, _) => false,
        })
}

/// Puts `over` on top of a whole recipe, key by key.
pub(super) fn merge(whole: &mut Table, over: Table) {
    for (key, value) in over {
        match (whole.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => {
                let another = |below: &Table| above.keys().any(|key| !below.contains_key(key));
                if CHOICES.contains(&key.as_str()) && another(below) {
                    below.clear();
                }
                merge(below, above);
            }
            (_, value) => {
                whole.insert(key, value);
            }
        }
    }
}

fn parse(value: &str) -> Value {
    let table = toml::from_str::<Table>(&format!("value = {value}"));
    let parsed = table.ok().filter(|table| table.len() == 1);
    let parsed = parsed.and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(value.to_owned()))
}
