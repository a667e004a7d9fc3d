//! What launches cost the host on a device that runs them: one by one, recorded, and replayed.

use super::dispatch::{Way, linear, views};
use crate::failure::Failure;
use omnihal::{Args as CallArgs, Buffer, Device, Graph, MemoryKind, Plan, Stream, View};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls between two waits: fewer than a queue of a device takes before its host must wait (CUDA's takes about a thousand).
const CALLS: usize = 256;
/// Runs of so many calls that make one repetition.
const ROUNDS: usize = 8;
/// Longest wait.
const LIMIT: Duration = Duration::from_secs(60);

/// A call that can be made again and again.
struct Rig {
    stream: Box<dyn Stream>,
    plan: Arc<dyn Plan>,
    views: [Option<View>; 3],
    buffers: [Buffer; 4],
}

/// Time of the host for each way of making a call, over `reps` repetitions.
pub fn ways(device: &Arc<dyn Device>, reps: u32) -> Result<Vec<Way>, Failure> {
    let plan = device.plan(&linear().into())?;
    let sizes = [2 * 4 * 128, 2 * 64 * 128, 2 * 4 * 64, plan.workspace().max(1)];
    let [a, w, y, workspace] = sizes.map(|bytes| device.alloc(bytes, MemoryKind::Device));
    let buffers = [a?, w?, y?, workspace?];
    let views = views([buffers[0].mem(), buffers[1].mem(), buffers[2].mem()])?;
    let rig = Rig { stream: device.stream()?, plan, views, buffers };
    for buffer in &rig.buffers {
        // SAFETY: the buffers outlive the stream's work, for which every way waits.
        unsafe { rig.stream.fill(buffer.mem(), 0)? };
    }
    let graph = rig.record()?;
    let nodes = graph.nodes();
    Ok(vec![
        rig.way("a fill: one call of the driver", CALLS, reps, || rig.fills())?,
        rig.way("one plan and its arguments", CALLS, reps, || rig.runs())?,
        rig.way("a call that is recorded", CALLS, reps, || rig.record().map(drop))?,
        rig.way("a launch of the recording", 1, reps, || rig.launch(&*graph))?,
        rig.way("a call of the recording, to its end", nodes, reps, || {
            rig.launch(&*graph)?;
            Ok(rig.stream.sync(LIMIT)?)
        })?,
    ])
}

impl Rig {
    /// Times `run`, and waits outside of the time.
    fn way(
        &self,
        name: &'static str,
        calls: usize,
        reps: u32,
        mut run: impl FnMut() -> Result<(), Failure>,
    ) -> Result<Way, Failure> {
        let mut rate = || {
            let mut time = Duration::ZERO;
            for _ in 0..ROUNDS {
                self.stream.sync(LIMIT)?;
                let start = Instant::now();
                run()?;
                time += start.elapsed();
            }
            self.stream.sync(LIMIT)?;
            Ok::<_, Failure>((calls * ROUNDS) as f64 / time.as_secs_f64())
        };
        rate()?;
        let rates = (0..reps).map(|_| rate()).collect::<Result<Vec<_>, _>>()?;
        Ok(Way::new(name, calls, &rates))
    }

    fn fills(&self) -> Result<(), Failure> {
        // SAFETY: the buffer outlives the stream's work.
        (0..CALLS).try_for_each(|_| unsafe { self.stream.fill(self.buffers[2].mem(), 0) }).map_err(Failure::from)
    }

    fn runs(&self) -> Result<(), Failure> {
        let args = CallArgs { workspace: self.buffers[3].mem(), ..CallArgs::new(&self.views) };
        // SAFETY: as above; the views are the operator's.
        (0..CALLS).try_for_each(|_| unsafe { self.stream.run(&*self.plan, &args) }).map_err(Failure::from)
    }

    fn record(&self) -> Result<Box<dyn Graph>, Failure> {
        self.stream.begin_capture()?;
        self.runs()?;
        Ok(self.stream.end_capture()?)
    }

    fn launch(&self, graph: &dyn Graph) -> Result<(), Failure> {
        // SAFETY: as above.
        Ok(unsafe { self.stream.launch(graph) }?)
    }
}
