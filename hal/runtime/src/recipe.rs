//! Recipes: operator calls on operands that have no address yet.
//!
//! A recipe is how a fused operator is made of smaller ones, and it is also how the model itself is written down. Lowering turns one
//! into launches with addresses.

use omnihal::{Column, DType, Error, Op, Result, Shape, View, WeightFormat};

/// What an operand is a part of.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// Argument of the operator that the recipe decomposes.
    Arg(usize),
    /// Intermediate tensor of the recipe.
    Temp(usize),
    /// Constant of the recipe.
    Const(usize),
    /// Column of the step table.
    Column(Column),
    /// Memory outside the arena: a weight or a state pool.
    View(Box<View>),
}

/// A change of shape that moves no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reshape {
    /// Part of an axis: axis, start, length.
    Slice(usize, usize, usize),
    /// Axis into outer and inner.
    Split(usize, usize, usize),
    /// Axis and the next one into one.
    Merge(usize),
    /// Two axes exchanged.
    Swap(usize, usize),
    /// An axis of length 1 inserted.
    Unsqueeze(usize),
    /// An axis of length 1 repeated.
    Expand(usize, usize),
}

impl Reshape {
    /// The view after the change.
    pub fn apply(self, view: &View) -> Result<View> {
        match self {
            Reshape::Slice(axis, start, len) => view.slice(axis, start, len),
            Reshape::Split(axis, outer, inner) => view.split(axis, outer, inner),
            Reshape::Merge(axis) => view.merge(axis),
            Reshape::Swap(a, b) => view.swap(a, b),
            Reshape::Unsqueeze(axis) => view.unsqueeze(axis),
            Reshape::Expand(axis, len) => view.expand(axis, len),
        }
    }

    /// The dimensions after the change.
    fn dims(self, dims: &mut Vec<usize>) {
        match self {
            Reshape::Slice(axis, _, len) | Reshape::Expand(axis, len) => dims[axis] = len,
            Reshape::Split(axis, outer, inner) => {
                dims[axis] = inner;
                dims.insert(axis, outer);
            }
            Reshape::Merge(axis) => {
                let inner = dims.remove(axis + 1);
                dims[axis] *= inner;
            }
            Reshape::Swap(a, b) => dims.swap(a, b),
            Reshape::Unsqueeze(axis) => dims.insert(axis, 1),
        }
    }
}

/// A tensor that a recipe names: a base, and how its shape was changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    pub(crate) base: Base,
    pub(crate) reshapes: Vec<Reshape>,
    format: WeightFormat,
    shape: Shape,
}

impl Operand {
    fn new(base: Base, format: impl Into<WeightFormat>, shape: Shape) -> Self {
        Operand { base, reshapes: Vec::new(), format: format.into(), shape }
    }

    /// A tensor outside the arena.
    pub fn view(view: View) -> Self {
        Operand::new(Base::View(Box::new(view)), view.format(), view.shape)
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.format.dtype()
    }

    /// Element type with scales, for weights.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Dimensions.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Dimension `axis`.
    pub fn dim(&self, axis: usize) -> usize {
        self.shape[axis]
    }

    fn reshaped(&self, reshape: Reshape) -> Self {
        let mut dims = self.shape.dims().to_vec();
        reshape.dims(&mut dims);
        let mut out = self.clone();
        out.shape = Shape::new(&dims);
        out.reshapes.push(reshape);
        out
    }

    /// The part `start..start+len` of an axis.
    pub fn slice(&self, axis: usize, start: usize, len: usize) -> Self {
        if (start, len) == (0, self.dim(axis)) { self.clone() } else { self.reshaped(Reshape::Slice(axis, start, len)) }
    }

    /// An axis as `outer` blocks of `inner`.
    pub fn split(&self, axis: usize, outer: usize, inner: usize) -> Self {
        self.reshaped(Reshape::Split(axis, outer, inner))
    }

    /// An axis joined with the next one.
    pub fn merge(&self, axis: usize) -> Self {
        self.reshaped(Reshape::Merge(axis))
    }

    /// Two axes exchanged.
    pub fn swap(&self, a: usize, b: usize) -> Self {
        self.reshaped(Reshape::Swap(a, b))
    }

    /// An axis of length 1 inserted.
    pub fn unsqueeze(&self, axis: usize) -> Self {
        self.reshaped(Reshape::Unsqueeze(axis))
    }

    /// An axis of length 1 repeated.
    pub fn expand(&self, axis: usize, len: usize) -> Self {
        self.reshaped(Reshape::Expand(axis, len))
    }
}

/// An intermediate tensor: contiguous, lives from its first to its last use.
#[derive(Clone, Debug, PartialEq)]
pub struct Temp {
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Shape,
    /// Name under which it can be read after a run. Named tensors keep a place of their own.
    pub name: Option<String>,
}

/// A constant tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Shape,
    /// Its bytes, contiguous, little endian.
    pub bytes: Vec<u8>,
}

/// One operator call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operator.
    pub op: Op,
    /// Its arguments, by catalogue position.
    pub args: Vec<Option<Operand>>,
    /// Done once a step: equal calls of other recipes share the result.
    pub once: bool,
}

/// Operator calls with their intermediate tensors and constants.
#[derive(Clone, Debug, Default)]
pub struct Recipe {
    /// Intermediate tensors.
    pub temps: Vec<Temp>,
    /// Constants.
    pub consts: Vec<Constant>,
    /// Calls, in order.
    pub calls: Vec<Call>,
    error: Option<Error>,
}

impl Recipe {
    /// An empty recipe.
    pub fn new() -> Self {
        Recipe::default()
    }

    /// An intermediate tensor.
    pub fn temp(&mut self, dtype: DType, shape: impl Into<Shape>) -> Operand {
        self.add_temp(dtype, shape.into(), None)
    }

    /// An intermediate tensor that can be read after a run.
    pub fn named(&mut self, name: impl Into<String>, dtype: DType, shape: impl Into<Shape>) -> Operand {
        self.add_temp(dtype, shape.into(), Some(name.into()))
    }

    fn add_temp(&mut self, dtype: DType, shape: Shape, name: Option<String>) -> Operand {
        self.temps.push(Temp { dtype, shape, name });
        Operand::new(Base::Temp(self.temps.len() - 1), dtype, shape)
    }

    /// A constant of 32-bit floats.
    pub fn f32s(&mut self, shape: impl Into<Shape>, values: impl IntoIterator<Item = f32>) -> Operand {
        self.constant(DType::F32, shape.into(), values.into_iter().flat_map(f32::to_le_bytes).collect())
    }

    /// A constant of 32-bit integers.
    pub fn i32s(&mut self, shape: impl Into<Shape>, values: impl IntoIterator<Item = i32>) -> Operand {
        self.constant(DType::I32, shape.into(), values.into_iter().flat_map(i32::to_le_bytes).collect())
    }

    fn constant(&mut self, dtype: DType, shape: Shape, bytes: Vec<u8>) -> Operand {
        let constant = Constant { dtype, shape, bytes };
        let at = self.consts.iter().position(|c| *c == constant).unwrap_or_else(|| {
            self.consts.push(constant);
            self.consts.len() - 1
        });
        Operand::new(Base::Const(at), dtype, shape)
    }

    /// A column of the step table, with the shape that the step gives it.
    pub fn column(&mut self, step: &omnihal::StepShape, column: Column) -> Operand {
        match step.column(column) {
            Ok((dtype, shape)) => Operand::new(Base::Column(column), dtype, shape),
            Err(error) => {
                self.error.get_or_insert(error);
                Operand::new(Base::Column(column), DType::I32, Shape::from([1]))
            }
        }
    }

    /// Calls an operator. `args` are the arguments that its descriptor has, in catalogue order.
    pub fn op(&mut self, op: impl Into<Op>, args: &[&Operand]) {
        self.call(op.into(), args, false);
    }

    /// Calls an operator whose result does not depend on the layer: equal calls are made once a step.
    pub fn once(&mut self, op: impl Into<Op>, args: &[&Operand]) {
        self.call(op.into(), args, true);
    }

    fn call(&mut self, op: Op, args: &[&Operand], once: bool) {
        if let Err(error) = check_call(&op, args) {
            self.error.get_or_insert(error);
            return;
        }
        let mut given = args.iter();
        let args =
            op.arg_types().iter().map(|t| t.present.then(|| given.next().map(|&a| a.clone())).flatten()).collect();
        self.calls.push(Call { op, args, once });
    }

    /// The recipe, or the first call that did not fit its operator.
    pub fn finish(self) -> Result<Self> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}

fn check_call(op: &Op, args: &[&Operand]) -> Result<()> {
    op.check()?;
    let wanted: Vec<_> = op.arg_types().into_iter().filter(|t| t.present).collect();
    if wanted.len() != args.len() {
        let message = format!("{} arguments given, {} expected", args.len(), wanted.len());
        return Err(Error::argument(message).with_op(op.kind()));
    }
    for (want, arg) in wanted.iter().zip(args) {
        if want.shape != arg.shape || want.format != arg.format {
            let message = format!(
                "argument `{}` is {} {}, expected {} {}",
                want.name, arg.format, arg.shape, want.format, want.shape
            );
            return Err(Error::argument(message).with_op(op.kind()));
        }
    }
    Ok(())
}

/// The arguments of a decomposed operator as operands, `None` where the descriptor leaves one out.
pub fn arguments(op: &Op) -> Vec<Option<Operand>> {
    let types = op.arg_types().into_iter().enumerate();
    types.map(|(i, t)| t.present.then(|| Operand::new(Base::Arg(i), t.format, t.shape))).collect()
}

impl Operand {
    /// A whole tensor.
    pub(crate) fn at(base: Base, dtype: DType, shape: Shape) -> Self {
        Operand::new(base, dtype, shape)
    }

    /// The same part of another base.
    pub(crate) fn based(&self, base: Base) -> Self {
        Operand { base, ..self.clone() }
    }

    /// This operand's reshapes on top of those of `outer`.
    pub(crate) fn on(&self, outer: &Operand) -> Self {
        let reshapes = outer.reshapes.iter().chain(&self.reshapes).copied().collect();
        Operand { base: outer.base.clone(), reshapes, ..*self }
    }
}
