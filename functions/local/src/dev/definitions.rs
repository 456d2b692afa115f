//! The current pipelines, including those whose files are broken.

use tidemark_flow::{BrokenPipeline, Error, load_readable_definitions};
use tidemark_pipeline::Graph;
use watch::LakeSnapshot;

use crate::args::{Common, DEFAULT_PIPELINES};
use crate::definitions::{LeftOut, select_pipelines, value};

pub(super) struct Definitions {
    pub graph: Graph,
    pub broken: Vec<BrokenPipeline>,
    pub left_out: Vec<LeftOut>,
}

impl Definitions {
    /// Reads the pipelines whose parameters have values. Changes of files take effect from here on.
    pub(super) fn read(common: &Common) -> Result<Definitions, Error> {
        let (names, left_out) = select_pipelines(common, &[]);
        let is_selected = |name: &str| names.is_empty() || !left_out.iter().any(|left| left.pipeline == name);
        let (graph, broken) = load_readable_definitions(&common.pipelines, &|name| value(common, name), &is_selected)?;
        Ok(Definitions { graph, broken, left_out })
    }

    /// For broken files without readable [alerts], takes over the recipients known before.
    pub(super) fn with_alerts_from(mut self, before: &Definitions) -> Definitions {
        for broken in self.broken.iter_mut().filter(|broken| broken.alerts.is_none()) {
            let was_whole = before.graph.pipeline(&broken.pipeline).ok().map(|pipeline| &pipeline.alerts);
            let was_broken = before.broken.iter().find(|before| before.pipeline == broken.pipeline);
            broken.alerts = was_whole.or(was_broken.and_then(|before| before.alerts.as_ref())).cloned();
        }
        self
    }

    /// Whether it has a pipeline that was missing or broken before.
    pub(super) fn has_new_pipelines(&self, before: &Definitions) -> bool {
        self.graph.pipelines().iter().any(|pipeline| before.graph.pipeline(pipeline.name.as_str()).is_err())
    }

    pub(super) fn snapshot(&self, common: &Common) -> LakeSnapshot<'_> {
        LakeSnapshot { graph: &self.graph, broken: &self.broken, arguments: arguments(common) }
    }
}

/// The arguments with which another command uses the same pipelines.
fn arguments(common: &Common) -> String {
    let pipelines = common.pipelines.display().to_string();
    let folder = (pipelines != DEFAULT_PIPELINES).then(|| format!(" --pipelines {}", watch::quoted(&pipelines)));
    let set =
        common.parameters.iter().map(|(name, value)| format!(" --set {}", watch::quoted(&format!("{name}={value}"))));
    folder.into_iter().chain(set).collect()
}
