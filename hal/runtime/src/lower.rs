//! Lowering: a recipe becomes a flat list of device calls.

use crate::placement::{Place, Placer};
use crate::recipe::{Base, Constant, Operand, Recipe, Reshape, Temp, arguments};
use omnihal::op::Role;
use omnihal::{Column, DType, Error, Op, Plan, Result, Shape, View};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// One device call with operands that have no address yet.
#[derive(Clone)]
pub(crate) struct FlatCall {
    pub plan: Arc<dyn Plan>,
    pub args: Vec<Option<Operand>>,
    pub fallback: bool,
}

/// A recipe after lowering: every call is a plan, every operand is a temp, a constant, a column or memory.
#[derive(Clone, Default)]
pub(crate) struct Flat {
    pub calls: Vec<FlatCall>,
    pub temps: Vec<Temp>,
    pub consts: Vec<Constant>,
    pub columns: BTreeSet<Column>,
}

/// Lowers the outermost recipe.
pub(crate) fn lower(recipe: &Recipe, placer: &mut Placer<'_>) -> Result<Flat> {
    let mut lowering = Lowering { placer, flat: Flat::default(), shared: HashMap::new() };
    lowering.inline(recipe, &[])?;
    Ok(lowering.flat)
}

/// Lowers the decomposition of one operator; its arguments stay [`Base::Arg`].
pub(crate) fn lower_op(op: &Op, recipe: &Recipe, placer: &mut Placer<'_>) -> Result<Flat> {
    let mut lowering = Lowering { placer, flat: Flat::default(), shared: HashMap::new() };
    lowering.inline(recipe, &arguments(op))?;
    Ok(lowering.flat)
}

impl Flat {
    /// True if a call joins axes of an argument.
    pub(crate) fn joins_axes_of(&self, arg: usize) -> bool {
        let joins = |operand: &Operand| {
            operand.base == Base::Arg(arg) && operand.reshapes.iter().any(|r| matches!(r, Reshape::Merge(_)))
        };
        self.calls.iter().any(|call| call.args.iter().flatten().any(joins))
    }

    /// Lets a contiguous temp stand for an argument, with copies there and back as its role asks.
    pub(crate) fn stage(&mut self, arg: usize, view: &View, copy: &Arc<dyn Plan>, role: Role) {
        let temp = self.temps.len();
        self.temps.push(Temp { dtype: view.dtype, shape: view.shape, name: None });
        for operand in self.calls.iter_mut().flat_map(|call| call.args.iter_mut().flatten()) {
            if operand.base == Base::Arg(arg) {
                operand.base = Base::Temp(temp);
            }
        }
        let outside = Some(Operand::at(Base::Arg(arg), view.dtype, view.shape));
        let inside = Some(Operand::at(Base::Temp(temp), view.dtype, view.shape));
        let call = |args| FlatCall { plan: copy.clone(), args, fallback: false };
        if role != Role::Write {
            self.calls.insert(0, call(vec![outside.clone(), inside.clone()]));
        }
        if role != Role::Read {
            self.calls.push(call(vec![inside, outside]));
        }
    }

    /// Turns the columns into arguments that follow the first `own` ones, in the order given.
    pub(crate) fn columns_as_arguments(&mut self, columns: &[Column], own: usize) {
        for arg in self.calls.iter_mut().flat_map(|call| call.args.iter_mut().flatten()) {
            if let Base::Column(column) = arg.base
                && let Some(at) = columns.iter().position(|c| *c == column)
            {
                arg.base = Base::Arg(own + at);
            }
        }
    }
}

struct Lowering<'a, 'b> {
    placer: &'a mut Placer<'b>,
    flat: Flat,
    /// Results of calls made once a step, and prologues by key: the output's temp.
    shared: HashMap<String, usize>,
}

/// Where the temps and constants of one inlined recipe lie in the flat list.
struct Scope<'a> {
    args: &'a [Option<Operand>],
    temps: Vec<usize>,
    consts: Vec<usize>,
}

impl Lowering<'_, '_> {
    fn inline(&mut self, recipe: &Recipe, args: &[Option<Operand>]) -> Result<()> {
        let first = self.flat.temps.len();
        self.flat.temps.extend(recipe.temps.iter().cloned());
        let consts = recipe.consts.iter().map(|c| self.constant(c)).collect();
        let mut scope = Scope { args, temps: (first..self.flat.temps.len()).collect(), consts };
        for call in &recipe.calls {
            if call.once && self.reuse(&mut scope, call)? {
                continue;
            }
            let args = call.args.iter().map(|a| a.as_ref().map(|a| scope.resolve(a)).transpose());
            let args = args.collect::<Result<Vec<_>>>()?;
            self.call(&call.op, args)?;
        }
        Ok(())
    }

    fn constant(&mut self, constant: &Constant) -> usize {
        self.flat.consts.iter().position(|c| c == constant).unwrap_or_else(|| {
            self.flat.consts.push(constant.clone());
            self.flat.consts.len() - 1
        })
    }

    /// If an equal call was made before, lets the scope's output temp stand for its result.
    fn reuse(&mut self, scope: &mut Scope<'_>, call: &crate::recipe::Call) -> Result<bool> {
        let Some((Some(output), inputs)) = call.args.split_last() else { return Ok(false) };
        let Base::Temp(local) = output.base else { return Ok(false) };
        let inputs: Vec<_> = inputs.iter().flatten().map(|a| scope.resolve(a)).collect::<Result<_>>()?;
        let key = format!("{:?} {inputs:?}", call.op);
        match self.shared.get(&key) {
            Some(&temp) => {
                scope.temps[local] = temp;
                Ok(true)
            }
            None => {
                self.shared.insert(key, scope.temps[local]);
                Ok(false)
            }
        }
    }

    fn call(&mut self, op: &Op, args: Vec<Option<Operand>>) -> Result<()> {
        match self.placer.place(op)? {
            Place::Composed(recipe) => self.inline(&recipe, &args),
            Place::Native(plan) => self.push(plan, args, false),
            Place::Fallback(plan) => self.push(plan, args, true),
        }
    }

    /// Appends a device call: after the operator's arguments come the plan's own columns and its prologue's output.
    fn push(&mut self, plan: Arc<dyn Plan>, mut args: Vec<Option<Operand>>, fallback: bool) -> Result<()> {
        self.note_columns(&args);
        let own = self.column_operands(&plan)?;
        args.extend(own.iter().cloned().map(Some));
        if let Some(prologue) = plan.prologue() {
            let output = match self.shared.get(&prologue.key) {
                Some(&temp) => temp,
                None => self.prologue(prologue, own)?,
            };
            let shape = self.flat.temps[output].shape;
            args.push(Some(Operand::at(Base::Temp(output), DType::U8, shape)));
        }
        self.flat.calls.push(FlatCall { plan, args, fallback });
        Ok(())
    }

    fn prologue(&mut self, prologue: &omnihal::Prologue, own: Vec<Operand>) -> Result<usize> {
        let temp = self.flat.temps.len();
        let shape = Shape::from([prologue.bytes]);
        self.flat.temps.push(Temp { dtype: DType::U8, shape, name: None });
        self.shared.insert(prologue.key.clone(), temp);
        let mut args: Vec<_> = own.into_iter().map(Some).collect();
        args.push(Some(Operand::at(Base::Temp(temp), DType::U8, shape)));
        self.flat.calls.push(FlatCall { plan: prologue.plan.clone(), args, fallback: false });
        Ok(temp)
    }

    fn column_operands(&mut self, plan: &Arc<dyn Plan>) -> Result<Vec<Operand>> {
        let step = self.placer.step();
        let operand = |&column: &Column| {
            let (dtype, shape) = step.column(column)?;
            Ok(Operand::at(Base::Column(column), dtype, shape))
        };
        let operands = plan.columns().iter().map(operand).collect::<Result<Vec<_>>>()?;
        self.flat.columns.extend(plan.columns());
        Ok(operands)
    }

    fn note_columns(&mut self, args: &[Option<Operand>]) {
        for arg in args.iter().flatten() {
            if let Base::Column(column) = arg.base {
                self.flat.columns.insert(column);
            }
        }
    }
}

impl Scope<'_> {
    /// The operand in terms of the flat list.
    fn resolve(&self, operand: &Operand) -> Result<Operand> {
        match &operand.base {
            Base::Arg(i) => match self.args.get(*i) {
                Some(Some(outer)) => Ok(operand.on(outer)),
                _ => Err(Error::argument(format!("a recipe uses argument {i}, which this call leaves out"))),
            },
            Base::Temp(i) => Ok(operand.based(Base::Temp(self.temps[*i]))),
            Base::Const(i) => Ok(operand.based(Base::Const(self.consts[*i]))),
            Base::Column(_) | Base::View(_) => Ok(operand.clone()),
        }
    }
}
