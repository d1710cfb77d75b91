//! What each model's engine has done, and where each model stands.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::demand::Lane;
use crate::engine::Output;
use crate::registry::{Model, State};
use crate::stats::EngineStats;

/// The models as they are now.
#[derive(Debug)]
pub(crate) struct Models(pub(crate) Vec<(String, State)>);

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

    fn ready(&self) -> impl Iterator<Item = (ModelLabel, &Arc<Model>)> {
        self.0.iter().filter_map(|(name, state)| match state {
            State::Ready(model) => Some((
                ModelLabel {
                    model: name.clone(),
                },
                model,
            )),
            State::Loading | State::Refused(_) => None,
        })
    }

    /// One value for each model that is served.
    fn each<M: EncodeMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, kind): (&str, &str, MetricType),
        value: impl Fn(&Model) -> M,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (label, model) in self.ready() {
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
        for (model, state) in &self.0 {
            for known in [State::LOADING, State::READY, State::REFUSED] {
                let labels = StateLabels {
                    model: model.clone(),
                    state: known,
                };
                let value = ConstGauge::new(i64::from(state.name() == known));
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
        for (ModelLabel { model: name }, model) in self.ready() {
            let labels = InfoLabels {
                model: name,
                precision: model.precision(Output::Embedding).to_string(),
                digest: model.digest().to_string(),
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
        self.each(encoder, queued, |it| {
            ConstGauge::new(count(it.batcher().queued()))
        })?;
        let capacity = (
            "detcon_queue_capacity_images",
            "Most images from admission to answer.",
            Gauge,
        );
        self.each(encoder, capacity, |it| {
            ConstGauge::new(count(it.batcher().capacity(Lane::Interactive)))
        })?;
        let batches = (
            "detcon_batch_images",
            "Images in an engine's call.",
            Histogram,
        );
        self.each(encoder, batches, |it| {
            it.batcher().stats().batches().clone()
        })?;
        let calls = (
            "detcon_engine_call_duration_seconds",
            "An engine's call.",
            Histogram,
        );
        self.each(encoder, calls, |it| it.batcher().stats().calls().clone())?;
        for (index, (name, help, _)) in EngineStats::default().counts().into_iter().enumerate() {
            self.each(encoder, (name, help, Counter), |it| {
                it.batcher().stats().counts()[index].2.clone()
            })?;
        }
        Ok(())
    }
}

/// As metrics hold counts.
fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
