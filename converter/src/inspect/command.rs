//! The command that imports a file, as a shell takes it.

use crate::location::Location;

/// The command that imports a file.
pub(super) struct Command {
    input: String,
    name: String,
}

impl Command {
    pub(super) fn of(source: &Location) -> Self {
        let (input, file) = match source {
            Location::File(path) => (path.display().to_string(), path.file_stem()),
            Location::Address(uri) => (
                uri.to_string(),
                std::path::Path::new(uri.path()).file_stem(),
            ),
        };
        let stem = file.unwrap_or_default().to_string_lossy();
        let plain = |letter: char| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        };
        let name: String = stem.chars().map(plain).collect();
        let name = name.trim_matches('-').to_owned();
        Self {
            input,
            name: if name.is_empty() {
                "model".to_owned()
            } else {
                name
            },
        }
    }

    pub(super) fn with(&self, place: Option<&str>) -> String {
        let Self { input, name } = self;
        let mut line = format!("detcon-convert import {} models/{name}", quoted(input));
        if let Some(place) = place {
            line.push_str(" --strip-prefix ");
            line.push_str(&quoted(place));
        }
        line
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_one_that_a_shell_takes_as_it_stands() {
        let command = |path: &str| Command::of(&Location::File(path.into()));
        assert_eq!(
            command("runs/moco v2.pth.tar").with(Some("module.encoder_q")),
            "detcon-convert import 'runs/moco v2.pth.tar' models/moco-v2-pth --strip-prefix module.encoder_q"
        );
        assert_eq!(
            command("it's.pth").with(Some("")),
            r"detcon-convert import 'it'\''s.pth' models/it-s --strip-prefix ''"
        );
    }
}
