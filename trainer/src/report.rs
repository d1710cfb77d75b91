//! A run on one page: its curves as drawings within the HTML, and nothing that is loaded from elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

mod chart;
mod curve;
mod page;

use self::curve::Curve;

/// What a run writes and this reads.
const METRICS: &str = "metrics.jsonl";
const RECIPE: &str = "recipe.toml";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the run cannot be read.
    #[error("{}: {cause}: give the folder of a run that has taken a step", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A line of the metrics is no step.
    #[error("{}, line {line}: it is no step's numbers", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// No step was taken.
    #[error("{} holds no step yet", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The report of the run in this folder, in HTML.
pub fn report(run: &Path) -> Result<String, ReportError> {
    let read = |name: &str| {
        let path = run.join(name);
        let text = fs::read_to_string(&path).map_err(|cause| ReportError::Read {
            path: path.clone(),
            cause,
        });
        text.map(|text| (path, text))
    };
    let (path, lines) = read(METRICS)?;
    let (_, recipe) = read(RECIPE)?;
    let mut steps = Vec::new();
    for (line, text) in (1..).zip(lines.lines()) {
        let step: Option<Value> = serde_json::from_str(text).ok();
        let step = step.filter(|step| step["step"].is_u64());
        steps.push(step.ok_or_else(|| ReportError::Line {
            path: path.clone(),
            line,
        })?);
    }
    let Some(last) = steps.last() else {
        return Err(ReportError::Empty { path });
    };
    let name = run.file_name().unwrap_or(run.as_os_str());
    Ok(page::page(&page::Facts {
        name: &name.to_string_lossy(),
        steps: last["step"].as_u64().unwrap_or(0) + 1,
        charts: &chart::charts(&steps),
        recipe: &recipe,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lines: &str) -> Result<String, ReportError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(METRICS), lines).unwrap();
        fs::write(folder.path().join(RECIPE), "arch = \"<tiny>\"\n").unwrap();
        report(folder.path())
    }

    fn lines() -> String {
        let line = |step: u32| {
            let loss = 9.0 - f64::from(step) / 300.0;
            let knn = if step.is_multiple_of(100) {
                ",\"knn\":0.25"
            } else {
                ""
            };
            format!(
                "{{\"step\":{step},\"loss\":{loss},\"learning_rate\":0.5,\"projections\":{{\"effective_rank\":7.5}}{knn}}}\n"
            )
        };
        (0..1000).map(line).collect()
    }

    #[test]
    fn a_report_draws_what_the_run_said_and_loads_nothing() {
        let page = run(&lines()).unwrap();
        for text in [
            "1000 steps",
            "Loss",
            "5.67",
            "Effective rank",
            "7.5",
            "25.0 %",
            "arch = &quot;&lt;tiny&gt;&quot;",
        ] {
            assert!(page.contains(text), "no {text}");
        }
        assert!(!page.contains("Waiting") && !page.contains("NaN"));
        for loading in [
            "http:", "https:", "<script", "<link", "<img", "@import", "url(",
        ] {
            assert!(!page.contains(loading), "{loading}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(page.len() < 300_000, "{}", page.len());
    }

    #[test]
    fn a_run_without_steps_or_with_other_lines_is_refused() {
        assert!(matches!(run(""), Err(ReportError::Empty { .. })));
        let refusal = run(&(lines() + "{\"loss\":1}\n")).unwrap_err();
        assert!(matches!(refusal, ReportError::Line { line: 1001, .. }));
        let folder = tempfile::tempdir().unwrap();
        let refusal = report(folder.path()).unwrap_err().to_string();
        assert!(refusal.contains(METRICS) && refusal.contains("has taken a step"));
    }
}
