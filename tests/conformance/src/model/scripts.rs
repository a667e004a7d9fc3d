//! The table of whole-model scripts.

use super::runs::Kind;
use super::{steps, whole};
use crate::profile::Profile;
use crate::script::Script;
use omnihal::DType;

macro_rules! scripts {
    ($(($profile:ident, $name:literal, $act:ident, $act_name:literal, $quick:literal)),* $(,)?) => {
        /// Every script of whole models.
        pub const SCRIPTS: &[Script] = &[$(
            script!(
                "model.steps", ["model/steps/", $name, "/", $act_name, "/prefill"], $profile, $quick,
                |target, seed| steps::judge(target, seed, Kind::$profile, DType::$act, &steps::PREFILL)
            ),
            script!(
                "model.steps", ["model/steps/", $name, "/", $act_name, "/mixed"], $profile, $quick,
                |target, seed| steps::judge(target, seed, Kind::$profile, DType::$act, &steps::MIXED)
            ),
            script!(
                "model.steps", ["model/steps/", $name, "/", $act_name, "/decode"], $profile, $quick,
                |target, seed| steps::judge(target, seed, Kind::$profile, DType::$act, &steps::DECODE)
            ),
            script!(
                "model.steps", ["model/steps/", $name, "/", $act_name, "/page"], $profile, false,
                |target, seed| steps::judge(target, seed, Kind::$profile, DType::$act, &steps::PAGE)
            ),
            script!(
                "model.demo", ["model/demo/", $name, "/", $act_name, "/short_texts"], $profile, true,
                |target, _| whole::texts(target, Kind::$profile, DType::$act, 40)
            ),
            script!(
                "model.demo", ["model/demo/", $name, "/", $act_name, "/all_texts"], $profile, false,
                |target, _| whole::texts(target, Kind::$profile, DType::$act, usize::MAX)
            ),
            script!(
                "model.demo", ["model/demo/", $name, "/", $act_name, "/logits_near_the_judges"], $profile, $quick,
                |target, seed| whole::near_the_judge(target, seed, Kind::$profile, DType::$act)
            ),
            script!(
                "model.demo", ["model/demo/", $name, "/", $act_name, "/any_chunks"], $profile, true,
                |target, seed| whole::any_chunks(target, seed, Kind::$profile, DType::$act)
            ),
            script!(
                "model.demo", ["model/demo/", $name, "/", $act_name, "/captured_steps"], $profile, true,
                |target, seed| whole::graphs(target, seed, Kind::$profile, DType::$act)
            ),
        )*];
    };
}

macro_rules! script {
    ($group:literal, [$($part:expr),*], $profile:ident, $quick:literal, $run:expr) => {
        Script { id: concat!($($part),*), group: $group, profile: Profile::$profile, quick: $quick, run: $run }
    };
}

scripts! {
    (Core, "core", F32, "f32", true),
    (Core, "core", BF16, "bf16", false),
    (V4, "v4", F32, "f32", true),
    (V4, "v4", BF16, "bf16", true),
    (V4Quant, "v4-quant", F32, "f32", false),
    (V4Quant, "v4-quant", BF16, "bf16", true),
}
