//! The variants of streams, events, graphs and memory.

use crate::Variant;
use std::time::Duration;

/// True if `variant` is the one of that id.
pub fn is(variant: Option<&'static Variant>, id: &str) -> bool {
    variant.is_some_and(|v| v.id == id)
}

/// Variants that would show only on a busy engine: theirs is slow.
const SLOW: [&str; 12] = [
    "stream.slow_engine",
    "stream.wait_is_ignored",
    "stream.read_does_not_wait_for_earlier_work",
    "stream.event_passes_too_early",
    "stream.event_recorded_again_stays_passed",
    "stream.record_stands_before_the_last_call",
    "stream.write_returns_before_it_has_copied",
    "stream.copies_overtake_runs",
    "stream.sync_returns_before_the_last_call",
    "stream.poll_is_always_true",
    "stream.poll_waits_for_the_work",
    "stream.graph_leaves_out_waits",
];

/// Pause before each call. Streams of one device differ, so that one is ahead of the other.
pub fn lag(variant: Option<&'static Variant>, ordinal: usize) -> Duration {
    match variant {
        Some(v) if SLOW.contains(&v.id) => Duration::from_micros(if ordinal % 2 == 0 { 400 } else { 50 }),
        _ => Duration::ZERO,
    }
}

const fn honest(id: &'static str, what: &'static str) -> Variant {
    Variant::honest(id, &[], what)
}

const fn planted(id: &'static str, what: &'static str) -> Variant {
    Variant::planted(id, &[], what)
}

/// The variants of streams, events, graphs and memory.
pub const VARIANTS: &[Variant] = &[
    honest("stream.slow_engine", "each call starts a little late"),
    honest("stream.runs_at_once", "each call is waited for before it returns"),
    honest("stream.without_graphs", "captures are refused, and the caps say so"),
    planted("stream.wait_is_ignored", "a stream does not wait for events"),
    planted("stream.read_does_not_wait_for_earlier_work", "a read copies before the queue is empty"),
    planted("stream.event_passes_too_early", "an event passes when it is recorded, not when the stream gets there"),
    planted("stream.event_recorded_again_stays_passed", "an event that passed once never waits again"),
    planted("stream.record_stands_before_the_last_call", "the call just before a record is not waited for"),
    planted("stream.write_returns_before_it_has_copied", "small host bytes are read after the write returned"),
    planted("stream.copies_overtake_runs", "a copy engine does not wait for the run before it"),
    planted("stream.sync_returns_before_the_last_call", "sync waits for all calls but one"),
    planted("stream.poll_is_always_true", "poll says that all work is done"),
    planted("stream.poll_waits_for_the_work", "poll is a wait"),
    planted("stream.sync_ignores_its_timeout", "sync waits for as long as the work takes, up to 30 s"),
    planted("stream.read_ignores_its_timeout", "a read waits for as long as the work takes, up to 30 s"),
    planted("stream.timeout_poisons_the_stream", "after a sync ran out of time the stream is unusable"),
    planted("stream.later_cause_replaces_the_first", "a poisoned stream tells the latest error, not the first"),
    planted("stream.poison_is_not_passed_by_events", "a stream that waits for a poisoned one goes on"),
    planted("stream.poison_is_forgotten_after_sync", "sync reports a failure once and then forgets it"),
    planted("stream.rejected_call_poisons_the_stream", "a refused call leaves the stream unusable"),
    planted("stream.foreign_plan_is_ignored", "a plan of another device is accepted and not run"),
    planted("stream.unequal_copy_is_cut", "a copy between unequal lengths moves the shorter one"),
    planted("stream.copy_drops_the_tail", "the last bytes of a copy are lost when 16 does not divide its length"),
    planted("stream.unaligned_copy_rounds_down", "addresses of a copy are rounded down to words"),
    planted("stream.fill_misses_the_last_byte", "a fill is one byte short"),
    planted("stream.fill_works_in_whole_words", "a fill writes past its end up to the next word"),
    planted("stream.capture_is_not_there_though_promised", "the caps promise graphs and begin_capture refuses"),
    planted("stream.capture_runs_the_calls_too", "captured calls are also carried out"),
    planted("stream.capture_does_not_end", "after end_capture the stream goes on collecting"),
    planted("stream.waits_are_let_through_while_capturing", "sync succeeds while the stream is captured"),
    planted("stream.graph_keeps_the_first_arguments_of_a_plan", "runs of one plan in a graph share their arguments"),
    planted("stream.graph_drops_its_last_call", "the last captured call is lost"),
    planted("stream.graph_leaves_out_fills", "fills are not captured"),
    planted("stream.graph_leaves_out_waits", "waits are not captured"),
    planted("stream.graph_runs_once_only", "the second launch of a graph does nothing"),
    planted("stream.graph_is_tied_to_its_stream", "a graph can be launched on the stream of its capture only"),
    planted("stream.plan_takes_any_descriptor", "plan and supports check nothing"),
    planted("stream.listed_operator_cannot_be_planned", "caps and supports name an operator that plan refuses"),
    planted("stream.huge_allocation_wraps_around", "an allocation beyond the limit gets a short block of memory"),
    planted("stream.out_of_memory_breaks_later_allocations", "a refused allocation is charged for"),
    planted("stream.freed_memory_is_not_returned", "memory that was freed stays charged"),
    planted("stream.allocation_is_misaligned", "allocations start a quarter of a line too late"),
    planted("stream.two_allocations_share_memory", "an allocation may lie over the end of the one before"),
    planted("stream.length_is_rounded_up", "a buffer claims more bytes than were asked for"),
    planted("stream.pinned_memory_is_called_device", "pinned memory says that it is device memory"),
];
