//! What each model's engine has done, and where each model stands.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::EngineStats;

/// The models as they are now.
#[derive(Debug)]
pub(crate) struct Models {
    /// What the states of a model are called.
    pub(crate) states: &'static [&'static str],
    /// The models.
    pub(crate) models: Vec<ModelSample>,
}

/// A model as it is now.
#[derive(Debug)]
pub(crate) struct ModelSample {
    /// Its name.
    pub(crate) name: String,
    /// What its state is called.
    pub(crate) state: &'static str,
    /// What is known of it while it is served.
    pub(crate) served: Option<ServedSample>,
}

/// A model that is served as it is now.
#[derive(Debug)]
pub(crate) struct ServedSample {
    /// What its embeddings are computed in.
    pub(crate) precision: String,
    /// SHA-256 of its manifest.
    pub(crate) digest: String,
    /// Images from admission to answer.
    pub(crate) queued: usize,
    /// Most of them.
    pub(crate) capacity: usize,
    /// What its engine has done.
    pub(crate) stats: Arc<EngineStats>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    model: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InfoLabels {
    model: String,
    precision: String,
    digest: String,
}

impl Models {
    /// Registers what is known of them.
    pub(crate) fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }

    fn served(&self) -> impl Iterator<Item = (ModelLabel, &ServedSample)> {
        self.models.iter().filter_map(|sample| {
            let model = sample.name.clone();
            Some((ModelLabel { model }, sample.served.as_ref()?))
        })
    }

    /// One value for each model that is served.
    fn each<M: EncodeMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, kind): (&str, &str, MetricType),
        value: impl Fn(&ServedSample) -> M,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (label, model) in self.served() {
            value(model).encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }

    /// Each model in one of its states: 1 for that, 0 for the others.
    fn states(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = (
            "detcon_model_state",
            "Where each model stands: 1 where it is.",
        );
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for ModelSample { name, state, .. } in &self.models {
            for known in self.states {
                let labels = StateLabels {
                    model: name.clone(),
                    state: known,
                };
                let value = ConstGauge::new(i64::from(state == known));
                value.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl Models {
    /// What each served model is: always 1, the labels say it.
    fn info(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("detcon_model_info", "What each served model is.");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (ModelLabel { model: name }, model) in self.served() {
            let labels = InfoLabels {
                model: name,
                precision: model.precision.clone(),
                digest: model.digest.clone(),
            };
            ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Models {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        use MetricType::{Counter, Gauge, Histogram};
        let encoder = &mut encoder;
        self.states(encoder)?;
        self.info(encoder)?;
        let queued = (
            "detcon_queue_images",
            "Images from admission to answer.",
            Gauge,
        );
        self.each(encoder, queued, |it| ConstGauge::new(count(it.queued)))?;
        let capacity = (
            "detcon_queue_capacity_images",
            "Most images from admission to answer.",
            Gauge,
        );
        self.each(encoder, capacity, |it| ConstGauge::new(count(it.capacity)))?;
        let batches = (
            "detcon_batch_images",
            "Images in an engine's call.",
            Histogram,
        );
        self.each(encoder, batches, |it| it.stats.batches().clone())?;
        let calls = (
            "detcon_engine_call_duration_seconds",
            "An engine's call.",
            Histogram,
        );
        self.each(encoder, calls, |it| it.stats.calls().clone())?;
        for (index, (name, help, _)) in EngineStats::default().counts().into_iter().enumerate() {
            self.each(encoder, (name, help, Counter), |it| {
                it.stats.counts()[index].2.clone()
            })?;
        }
        Ok(())
    }
}

/// As metrics hold counts.
fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
