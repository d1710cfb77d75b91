//! Choices that have one name each: on the command line, in manifests, in recipes.

/// Defines an enum whose variants are written by one name everywhere: `ALL`, `name`, `Display`, `FromStr`, serde.
macro_rules! choice {
    ($(#[$meta:meta])* pub enum $kind:ident { $($(#[$note:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum $kind {
            $($(#[$note])* #[serde(rename = $name)] $variant,)+
        }

        impl $kind {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that users and manifests write.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $kind {
            type Err = crate::arch::UnknownChoice;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|it| it.name() == text);
                found.ok_or_else(|| crate::arch::UnknownChoice {
                    text: text.to_owned(),
                    known: Self::ALL.iter().map(|it| it.name()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}
pub(super) use choice;

/// No choice is called that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {known}")]
pub struct UnknownChoice {
    /// As given.
    pub(super) text: String,
    /// The names that there are.
    pub(super) known: String,
}
