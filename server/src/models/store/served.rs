//! The models of the store as this process serves them.

use std::path::Path;
use std::sync::Weak;

use super::Serving;
use crate::models::registry::Registry;

/// Serves models by a registry, for as long as there is one.
impl Serving for Weak<Registry> {
    fn check(&self, path: &Path) -> Result<(), String> {
        let registry = self.upgrade().ok_or("the server is shutting down")?;
        registry.check(path).map_err(|refusal| refusal.to_string())
    }

    fn load(&self, path: &Path) {
        if let Some(registry) = self.upgrade() {
            let _ = registry.load(path, registry.now()); // the state of the model says what came of it
            registry.unload_retired();
        }
    }

    fn unload(&self, name: &str) {
        if let Some(registry) = self.upgrade() {
            registry.remove(name);
            registry.unload_retired();
        }
    }
}
