//! What stands in place of what: a recipe over the defaults, `KEY=VALUE` from the command line over the recipe.

use toml::{Table, Value};

use super::RecipeError;

/// Puts the value where its key says, dots leading into tables. What is no TOML value is a string.
pub(super) fn apply(table: &mut Table, assignment: &str) -> Result<(), RecipeError> {
    let refuse = || RecipeError::Override {
        assignment: assignment.to_owned(),
    };
    let (key, value) = assignment.split_once('=').ok_or_else(refuse)?;
    let (tables, last) = key
        .rsplit_once('.')
        .map_or(("", key), |(tables, last)| (tables, last));
    let mut place = table;
    for name in tables.split('.').filter(|name| !name.is_empty()) {
        let inner = place
            .entry(name)
            .or_insert_with(|| Value::Table(Table::new()));
        place = inner.as_table_mut().ok_or_else(refuse)?;
    }
    if last.is_empty() {
        return Err(refuse());
    }
    place.insert(last.to_owned(), parse(value));
    Ok(())
}

/// Puts `over` on top of `table`, key by key. A table of one key is a choice (`optimizer`, `duration`): another key in
/// its place is another choice.
pub(super) fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => {
                let another = below.len() == 1 && below.keys().all(|key| !above.contains_key(key));
                if another {
                    below.clear();
                }
                merge(below, above);
            }
            (_, value) => {
                table.insert(key, value);
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
