//! `detcon-extract status`.

use std::fmt::Write as _;

use clap::Args;
use detcon_extractor::output::{Fact, There};
use detcon_extractor::place::{Address, Places};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder, or prefix in a bucket, of the parts.
    output: String,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let address = Address::parse(&arguments.output)?;
    let place = Places::default().folder(&address)?;
    let there = There::read(&place)?;
    let output = &arguments.output;
    let Some(first) = there.parts.first() else {
        anyhow::bail!("{output} holds no parts: nothing is done yet, or it is another output");
    };
    there.of_one_run()?;
    let total = first.name.count;
    let missing: Vec<u32> = (0..total).filter(|&part| !there.holds(part)).collect();
    let sum = |of: fn(&detcon_extractor::output::PartThere) -> u64| -> u64 {
        there.parts.iter().map(of).sum()
    };
    let mut text = String::new();
    for fact in Fact::ALL {
        let told = first.identity.fact(fact);
        if !told.is_empty() && fact != Fact::Parts {
            writeln!(text, "{}: {told}", fact.name())?;
        }
    }
    writeln!(text, "rows: {}", sum(|part| part.rows))?;
    writeln!(text, "images: {}", sum(|part| part.images))?;
    writeln!(text, "errors: {}", sum(|part| part.errors))?;
    writeln!(text, "parts: {} of {total}", there.parts.len())?;
    if missing.is_empty() {
        writeln!(text, "missing: none")?;
    } else {
        writeln!(text, "missing: {}", spans(&missing))?;
    }
    print!("{text}");
    Ok(())
}

/// Numbers in ascending order, those that follow each other as spans.
fn spans(numbers: &[u32]) -> String {
    let spans = numbers.chunk_by(|one, next| one + 1 == *next);
    let spans = spans.map(|span| match span {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    spans.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::spans;

    #[test]
    fn numbers_that_follow_each_other_are_spans() {
        assert_eq!(spans(&[0, 1, 2, 4, 7, 8]), "0-2, 4, 7-8");
    }
}
