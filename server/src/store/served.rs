//! The models of the store as this process serves them.

use std::path::Path;
use std::sync::{Arc, Weak};

use super::Serving;
use crate::app::App;
use crate::engine::Runtime;
use crate::registry::{self, EngineOptions};

/// Serves models by the application's registry, for as long as there is one.
pub(crate) struct Served {
    app: Weak<App>,
    runtime: Runtime,
    options: EngineOptions,
}

impl Served {
    /// By the registry of `app`.
    pub(crate) fn new(app: &Arc<App>, runtime: Runtime, options: EngineOptions) -> Self {
        Self {
            app: Arc::downgrade(app),
            runtime,
            options,
        }
    }
}

impl Serving for Served {
    fn check(&self, path: &Path) -> Result<(), String> {
        let checked = registry::check(path, &self.runtime, &self.options);
        checked.map_err(|refusal| refusal.to_string())
    }

    fn load(&self, path: &Path) {
        if let Some(app) = self.app.upgrade().filter(|app| !app.is_closing()) {
            app.registry.load(path, &self.runtime, &self.options);
            app.registry.unload_retired();
        }
    }

    fn unload(&self, name: &str) {
        if let Some(app) = self.app.upgrade() {
            app.registry.remove(name);
            app.registry.unload_retired();
        }
    }
}
