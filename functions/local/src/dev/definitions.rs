//! The pipelines as they are now, those that are broken among them.

use tidemark_flow::{BrokenPipeline, Error, load_readable_definitions};
use tidemark_pipeline::Graph;
use watch::LakeSnapshot;

use crate::args::{Common, DEFAULT_PIPELINES};
use crate::definitions::{LeftOut, meant, value};

pub(super) struct Definitions {
    pub graph: Graph,
    pub broken: Vec<BrokenPipeline>,
    pub left_out: Vec<LeftOut>,
}

impl Definitions {
    /// The pipelines whose parameters have values, read anew: a file that was changed counts from now on.
    pub(super) fn read(common: &Common) -> Result<Definitions, Error> {
        let (names, left_out) = meant(common, &[]);
        let is_meant = |name: &str| names.is_empty() || !left_out.iter().any(|left| left.pipeline == name);
        let (graph, broken) = load_readable_definitions(&common.pipelines, &|name| value(common, name), &is_meant)?;
        Ok(Definitions { graph, broken, left_out })
    }

    /// With what was known before of who is to know, where a file cannot be read now.
    pub(super) fn remembering(mut self, before: &Definitions) -> Definitions {
        for broken in self.broken.iter_mut().filter(|broken| broken.alerts.is_none()) {
            let was_whole = before.graph.pipeline(&broken.pipeline).ok().map(|pipeline| &pipeline.alerts);
            let was_broken = before.broken.iter().find(|before| before.pipeline == broken.pipeline);
            broken.alerts = was_whole.or(was_broken.and_then(|before| before.alerts.as_ref())).cloned();
        }
        self
    }

    /// Whether a pipeline is there that was not, or was broken.
    pub(super) fn has_more_than(&self, before: &Definitions) -> bool {
        self.graph.pipelines().iter().any(|pipeline| before.graph.pipeline(pipeline.name.as_str()).is_err())
    }

    pub(super) fn view(&self, common: &Common) -> LakeSnapshot<'_> {
        LakeSnapshot { graph: &self.graph, broken: &self.broken, arguments: arguments(common) }
    }
}

/// What has to be said to another command for it to mean the same pipelines.
fn arguments(common: &Common) -> String {
    let pipelines = common.pipelines.display().to_string();
    let folder = (pipelines != DEFAULT_PIPELINES).then(|| format!(" --pipelines {}", watch::quoted(&pipelines)));
    let set =
        common.parameters.iter().map(|(name, value)| format!(" --set {}", watch::quoted(&format!("{name}={value}"))));
    folder.into_iter().chain(set).collect()
}
