//! The page around the drawings.

/// What a page says.
pub(super) struct Facts<'a> {
    pub(super) name: &'a str,
    /// Steps that were taken.
    pub(super) steps: u64,
    /// In HTML.
    pub(super) charts: &'a str,
    /// In TOML.
    pub(super) recipe: &'a str,
}

/// Light and dark as the reader's system says. The three colours of curves differ in lightness too.
const STYLE: &str = "
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1b1f24; --soft: #59636e; --grid: #dde2e8;
  --c0: #0b5fce; --c1: #c2410c; --c2: #3f8f3f; }
@media (prefers-color-scheme: dark) { :root { --page: #101317; --card: #191d23; --text: #e8ecf1; --soft: #a0abb8;
  --grid: #303842; --c0: #6cb0ff; --c1: #ff9e5e; --c2: #86d68a; } }
body { margin: 0 auto; padding: 1.5rem; max-width: 62rem; background: var(--page); color: var(--text);
  font: 16px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } header p { margin: .2rem 0 1.2rem; color: var(--soft); }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
section, details { background: var(--card); border: 1px solid var(--grid); border-radius: 10px; padding: .9rem 1rem; }
h2 { font-size: 1.05rem; margin: 0; } section p { margin: .1rem 0 .4rem; color: var(--soft); font-size: .875rem; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 0 0 .3rem; padding: 0; font-size: .9rem; }
li::before { content: ''; display: inline-block; width: .9em; height: .25em; margin-right: .4em; vertical-align: middle;
  border-radius: 2px; background: var(--c); }
b { font-variant-numeric: tabular-nums; } svg { width: 100%; height: auto; display: block; }
text { fill: var(--soft); font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--grid); } .line { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; }
.band { fill: var(--c); opacity: .18; } circle { fill: var(--c); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); }
details { margin-top: 1rem; } pre { overflow-x: auto; font-size: .875rem; }
";

pub(super) fn page(facts: &Facts) -> String {
    let (name, recipe) = (escaped(facts.name), escaped(facts.recipe));
    let Facts { steps, charts, .. } = facts;
    format!(
        "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>{name}: DetCon pretraining</title>
<style>{STYLE}</style>
<header><h1>{name}</h1><p>{steps} steps of DetCon pretraining. Lines are means, bands reach from the least to the most.</p></header>
<main>
{charts}</main>
<details><summary>Recipe</summary><pre>{recipe}</pre></details>
</html>
"
    )
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}
