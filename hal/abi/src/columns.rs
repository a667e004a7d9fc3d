//! Numbers of the step-table columns.

use crate::codes::Entry;
use omnihal::Column;

macro_rules! columns {
    ($($(#[doc = $doc:literal])+ $Variant:ident $(($ratio:ident))? = $code:literal $name:literal,)*) => {
        /// All columns. Those "of a ratio" belong to the state space of one compression ratio.
        pub(crate) const ENTRIES: &[Entry] = &[$(Entry { name: $name, code: $code, doc: concat!($($doc, "\n"),+) },)*];

        /// Number and ratio (0 where there is none).
        pub(crate) fn encode(column: Column) -> (u32, u32) {
            match column {
                $(Column::$Variant $(($ratio))? => ($code, columns!(@ratio $($ratio)?)),)*
            }
        }

        /// The column of that number.
        pub(crate) fn decode(kind: u32, ratio: u32) -> Option<Column> {
            match kind {
                $($code => Some(columns!(@make $Variant ratio $($ratio)?)),)*
                _ => None,
            }
        }
    };
    (@ratio) => { 0 };
    (@ratio $r:ident) => { $r };
    (@make $Variant:ident $value:ident) => { Column::$Variant };
    (@make $Variant:ident $value:ident $r:ident) => { Column::$Variant($value) };
}

columns! {
    /// I32 [N, 4]: position, slot, sequence, id; padding rows -1.
    Toks = 0 "TOKS",
    /// I32 [B, 4]: slot, first position, first row, rows; padding slot -1, rows 0.
    Seqs = 1 "SEQS",
    /// I32 [R]: rows whose logits are wanted, -1 padding.
    Out = 2 "OUT",
    /// Of a ratio. I32 [B, Pm]: pages of each sequence in order, 0 beyond the end.
    PageTable(r) = 3 "PAGE_TABLE",
    /// Of a ratio. I32 [C, 2]: sequence and entry completed in this step, -1 padding.
    Close(r) = 4 "CLOSE",
    /// I32 [N]: position, padding 0.
    Pos0 = 5 "POS0",
    /// F32 [N]: 1 for real rows, 0 for padding.
    Live = 6 "LIVE",
    /// I32 [NT*Q]: position in tile order, padding 0.
    PosQt = 7 "POS_QT",
    /// I32 [NT*Q]: row at each place of the query tiles; a tile holds rows of one sequence; padding 0.
    QtRows = 8 "QT_ROWS",
    /// I32 [N]: place of each row in tile order.
    TokQt = 9 "TOK_QT",
    /// Of a ratio. I32 [NT, Pm]: page table of each tile.
    PtQt(r) = 10 "PT_QT",
    /// Of a ratio. F32 [NT*Q]: entries visible to each tile row, 0 for padding.
    NVis(r) = 11 "N_VIS",
    /// I32 [1 + (win-1)*B]: ring rows of the positions just before each sequence's chunk; element 0 and missing ones: the null row.
    HistSrc = 12 "HIST_SRC",
    /// I32 [NT*Q, win]: rows of the linear key tensor that each tile row sees, ascending position; missing 0.
    WinSrc = 13 "WIN_SRC",
    /// Of a ratio. I32 [NT, E]: pool rows of all entries of the tile's sequence, null row beyond its count.
    AllRows(r) = 14 "ALL_ROWS",
    /// I32 [N]: place in `last` of a row whose id is not literal, else 0.
    LastIdx = 15 "LAST_IDX",
    /// I32 [R]: OUT with padding as 0.
    Out0 = 16 "OUT0",
    /// I32 [R]: slot of each wanted row; padding: the trash slot.
    OutSlot = 17 "OUT_SLOT",
    /// I32 [N]: window-ring row to write; the trash row for padding and for rows that a later row of the step overwrites.
    RingDst = 18 "RING_DST",
    /// Of a ratio. I32 [N]: the same in the open-window ring.
    OwDst(r) = 19 "OW_DST",
    /// Of a ratio. I32 [N]: position modulo the ratio.
    ApeIdx(r) = 20 "APE_IDX",
    /// Of a ratio. I32 [C]: position of the closed entry.
    ClPos(r) = 21 "CL_POS",
    /// Of a ratio. I32 [C]: its pool row; padding: the trash row.
    ClDst(r) = 22 "CL_DST",
    /// Of a ratio. I32 [C*h*m]: half-row of each pooled slot in the state, null row if it is not there.
    ClOld(r) = 23 "CL_OLD",
    /// Of a ratio. I32 [C*h*m]: half-row of each pooled slot in this step, 0 if it is not there.
    ClNew(r) = 24 "CL_NEW",
    /// Of a ratio. F32 [C*h*m]: 1 where the state is taken.
    ClSel(r) = 25 "CL_SEL",
    /// Of a ratio. F32 [C*h*m]: 1 where the slot exists.
    ClMask(r) = 26 "CL_MASK",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_survives_its_number() {
        for entry in ENTRIES {
            let column = decode(entry.code, 4).unwrap();
            let (kind, ratio) = encode(column);
            assert_eq!(kind, entry.code);
            assert_eq!(ratio == 4, entry.doc.starts_with(" Of a ratio."), "{}", entry.name);
        }
        assert_eq!(decode(ENTRIES.len() as u32, 0), None);
    }
}
