//! The graph of layers, and how it becomes dispatches: forward, backward, and activation
//! checkpointing (a segment's forward is emitted again just before its backward).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use super::{
    ModelError, PlanBuilder, Shape, TensorId,
    layers::{self, Layer},
    tensor::Planes,
};

/// A value: the output of a node or an input of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(usize);

/// A parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(pub usize);

/// How a parameter lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamLayout {
    /// `[O, I, K, K]` in files (`[O, I]` when `linear`), `[K, K, Ip, Op]` in the plan.
    Weight {
        /// Kernel side; 1 for a linear layer.
        k: usize,
        /// Input channels I.
        cin: usize,
        /// Output channels O.
        cout: usize,
        /// Two-dimensional in files.
        linear: bool,
    },
    /// `[C]` in files, padded to Cp in the plan.
    Vector {
        /// Length C.
        c: usize,
    },
}

/// A parameter's name and layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamInfo {
    /// The state-dict key.
    pub name: String,
    /// Layout.
    pub layout: ParamLayout,
}

const fn up4(n: usize) -> usize {
    n.div_ceil(4) * 4
}

impl ParamInfo {
    /// Words in the plan, padding included.
    pub const fn words(&self) -> usize {
        match self.layout {
            ParamLayout::Weight { k, cin, cout, .. } => k * k * up4(cin) * up4(cout),
            ParamLayout::Vector { c } => up4(c),
        }
    }

    /// The shape in files.
    pub fn file_shape(&self) -> Vec<usize> {
        match self.layout {
            ParamLayout::Weight {
                cin,
                cout,
                linear: true,
                ..
            } => vec![cout, cin],
            ParamLayout::Weight { k, cin, cout, .. } => vec![cout, cin, k, k],
            ParamLayout::Vector { c } => vec![c],
        }
    }

    /// Numbers in files.
    pub fn file_len(&self) -> usize {
        self.file_shape().iter().product()
    }

    /// From the layout of files to that of the plan.
    pub fn pack(&self, file: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.words()];
        self.each(|f, p| out[p] = file[f]);
        out
    }

    /// From the layout of the plan to that of files.
    pub fn unpack(&self, plan: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.file_len()];
        self.each(|f, p| out[f] = plan[p]);
        out
    }

    fn each(&self, mut f: impl FnMut(usize, usize)) {
        match self.layout {
            ParamLayout::Weight { k, cin, cout, .. } => {
                let taps = k * k;
                for o in 0..cout {
                    for i in 0..cin {
                        for t in 0..taps {
                            f((o * cin + i) * taps + t, (t * up4(cin) + i) * up4(cout) + o);
                        }
                    }
                }
            }
            ParamLayout::Vector { c } => (0..c).for_each(|i| f(i, i)),
        }
    }
}

#[derive(Debug)]
struct Value {
    shape: Shape,
    label: String,
    differentiable: bool,
    /// An input of the graph; it and its gradient are others' to read.
    input: bool,
}

impl Value {
    /// A tensor for its gradient.
    fn gradient(&self, plan: &mut PlanBuilder) -> TensorId {
        let label = format!("grad {}", self.label);
        if self.input {
            plan.tensor(label, self.shape.words())
        } else {
            plan.activation(label, self.shape)
        }
    }
}

#[derive(Debug)]
struct Node {
    layer: Arc<dyn Layer>,
    inputs: Vec<ValueId>,
    params: Vec<ParamId>,
    output: ValueId,
    segment: usize,
}

/// Layers in order, each with its inputs, parameters and output.
#[derive(Debug, Default)]
pub struct Graph {
    values: Vec<Value>,
    params: Vec<ParamInfo>,
    nodes: Vec<Node>,
    segment: usize,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// An input of the graph. Gradients flow to it only when `differentiable`.
    pub fn input(&mut self, label: &str, shape: Shape, differentiable: bool) -> ValueId {
        self.values.push(Value {
            shape,
            label: label.into(),
            differentiable,
            input: true,
        });
        ValueId(self.values.len() - 1)
    }

    /// A parameter, named by its state-dict key.
    pub fn param(&mut self, name: impl Into<String>, layout: ParamLayout) -> ParamId {
        self.params.push(ParamInfo {
            name: name.into(),
            layout,
        });
        ParamId(self.params.len() - 1)
    }

    /// Starts a new segment: with activation checkpointing, what lies inside a segment is
    /// computed again for the backward pass instead of being kept.
    pub const fn begin_segment(&mut self) {
        self.segment += 1;
    }

    /// Adds a layer.
    ///
    /// # Errors
    /// The layer's own complaint about the shapes.
    pub fn add(
        &mut self,
        label: &str,
        layer: impl Layer + 'static,
        inputs: &[ValueId],
        params: &[ParamId],
    ) -> Result<ValueId, ModelError> {
        self.add_shared(label, Arc::new(layer), inputs, params)
    }

    /// [`Graph::add`] for a layer that is shared.
    ///
    /// # Errors
    /// As [`Graph::add`].
    pub fn add_shared(
        &mut self,
        label: &str,
        layer: Arc<dyn Layer>,
        inputs: &[ValueId],
        params: &[ParamId],
    ) -> Result<ValueId, ModelError> {
        let shapes: Vec<Shape> = inputs.iter().map(|v| self.values[v.0].shape).collect();
        let shape = layer.output_shape(&shapes).map_err(|e| match e {
            ModelError::Shape {
                expected, found, ..
            } => ModelError::Shape {
                layer: label.into(),
                expected,
                found,
            },
            other => other,
        })?;
        let differentiable =
            !params.is_empty() || inputs.iter().any(|v| self.values[v.0].differentiable);
        self.values.push(Value {
            shape,
            label: label.into(),
            differentiable,
            input: false,
        });
        let output = ValueId(self.values.len() - 1);
        self.nodes.push(Node {
            layer,
            inputs: inputs.to_vec(),
            params: params.to_vec(),
            output,
            segment: self.segment,
        });
        Ok(output)
    }

    /// Gives the layer that puts out `value` its parameters, in place of those it has: parameters keep
    /// the order of files, and a layer that several later ones share would come before its own.
    pub fn set_params(&mut self, value: ValueId, params: &[ParamId]) {
        if let Some(node) = self.nodes.iter_mut().find(|n| n.output == value) {
            node.params = params.to_vec();
            self.values[value.0].differentiable |= !params.is_empty();
        }
    }

    /// A value's shape.
    pub fn shape(&self, value: ValueId) -> Shape {
        self.values[value.0].shape
    }

    /// All parameters, in the order of their creation.
    pub fn params(&self) -> &[ParamInfo] {
        &self.params
    }

    /// Numbers in all parameters, without padding.
    pub fn param_count(&self) -> usize {
        self.params.iter().map(ParamInfo::file_len).sum()
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no layers.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The values that layers put out, with their labels, in order.
    pub fn outputs(&self) -> impl Iterator<Item = (ValueId, &str)> {
        self.nodes
            .iter()
            .map(|n| (n.output, self.values[n.output.0].label.as_str()))
    }

    /// Emits the forward pass. `bound` gives the tensors of the graph's inputs, `weights` those of
    /// the parameters, in order.
    pub fn lower_forward(
        &self,
        plan: &mut PlanBuilder,
        bound: &[(ValueId, TensorId)],
        weights: &[TensorId],
    ) -> Lowered {
        let mut lowered = Lowered {
            tensors: bound.iter().copied().collect(),
            saved: HashMap::new(),
            joints: self.joints(),
            parts: HashMap::new(),
        };
        for (&value, &parts) in &lowered.joints {
            let (whole, tensors) = self.joint(plan, value, parts, "");
            lowered.tensors.insert(value, whole);
            lowered.parts.extend(parts.into_iter().zip(tensors));
        }
        for i in 0..self.nodes.len() {
            self.forward_node(plan, i, weights, &mut lowered, None);
        }
        lowered
    }

    /// The concatenations that need no copy, each with what it puts side by side: all that read them can read two
    /// tensors, and the parts are values of layers of which nothing else is put together.
    fn joints(&self) -> BTreeMap<ValueId, [ValueId; 2]> {
        let mut out = BTreeMap::new();
        let mut used = HashSet::new();
        for (i, node) in self.nodes.iter().enumerate() {
            let &[a, b] = node.inputs.as_slice() else {
                continue;
            };
            if !node.layer.concatenates() {
                continue;
            }
            let readers = self.nodes[i + 1..].iter().flat_map(|n| {
                let inputs = n.inputs.iter().enumerate();
                inputs
                    .filter(|(_, v)| **v == node.output)
                    .map(|(k, _)| n.layer.reads_planes(k))
            });
            let readers: Vec<bool> = readers.collect();
            let [first, other] = [a, b].map(|v| &self.values[v.0]);
            let fits = !readers.is_empty()
                && readers.iter().all(|&can| can)
                && !first.input
                && !other.input
                && first.shape.c.is_multiple_of(8)
                && other.shape.c.is_multiple_of(4);
            if fits && a != b && !used.contains(&a) && !used.contains(&b) {
                used.extend([a, b]);
                out.insert(node.output, [a, b]);
            }
        }
        out
    }

    /// Tensors for a concatenation that is not copied, or for its gradient.
    fn joint(
        &self,
        plan: &mut PlanBuilder,
        value: ValueId,
        parts: [ValueId; 2],
        before: &str,
    ) -> (TensorId, [TensorId; 2]) {
        let shapes = parts.map(|v| self.values[v.0].shape);
        let label = format!("{before}{}", self.values[value.0].label);
        plan.joint(label, shapes)
    }

    fn forward_node(
        &self,
        plan: &mut PlanBuilder,
        i: usize,
        weights: &[TensorId],
        lowered: &mut Lowered,
        scratch: Option<TensorId>,
    ) {
        let node = &self.nodes[i];
        let value = &self.values[node.output.0];
        if lowered.is_joint(node.output) {
            lowered.saved.insert(i, Vec::new());
            return;
        }
        plan.set_label(&value.label);
        plan.set_shape(value.shape);
        let output = scratch.unwrap_or_else(|| {
            if let Some(&part) = lowered.parts.get(&node.output) {
                return part;
            }
            // What the graph puts out goes to kernels and readers of its own.
            if i + 1 == self.nodes.len() {
                plan.tensor(value.label.clone(), value.shape.words())
            } else {
                plan.activation(value.label.clone(), value.shape)
            }
        });
        let io = layers::Forward {
            inputs: &self.operands(node, lowered),
            params: &node.params.iter().map(|p| weights[p.0]).collect::<Vec<_>>(),
            output: layers::Operand::of(output, value.shape),
            node: i,
        };
        let saved = node.layer.forward(plan, &io);
        if scratch.is_none() {
            lowered.tensors.insert(node.output, output);
        }
        lowered.saved.insert(i, saved);
    }

    fn operands(&self, node: &Node, lowered: &Lowered) -> Vec<layers::Operand> {
        node.inputs
            .iter()
            .map(|v| layers::Operand {
                tensor: lowered.tensors[v],
                shape: self.values[v.0].shape,
                planes: lowered
                    .joints
                    .get(v)
                    .map(|[first, _]| Planes::of(self.values[first.0].shape)),
            })
            .collect()
    }

    /// Emits the backward pass from the gradient of `output`. Parameter gradients are added to
    /// the tensors of `grads`; returns the gradients of the differentiable inputs.
    ///
    /// With `checkpoint`, the values inside each segment but the last are computed again first.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call site a plan; a struct would say less"
    )]
    pub fn lower_backward(
        &self,
        plan: &mut PlanBuilder,
        lowered: &mut Lowered,
        weights: &[TensorId],
        grads: &[TensorId],
        output: ValueId,
        output_grad: TensorId,
        checkpoint: bool,
    ) -> HashMap<ValueId, TensorId> {
        let mut known = Gradients {
            values: HashMap::from([(output, output_grad)]),
            slices: HashMap::new(),
            parts: HashMap::new(),
        };
        let last_segment = self.segment;
        let mut end = self.nodes.len();
        while end > 0 {
            let segment = self.nodes[end - 1].segment;
            let start = (0..end)
                .rev()
                .take_while(|&i| self.nodes[i].segment == segment)
                .last()
                .unwrap_or(0);
            if checkpoint && segment != last_segment {
                self.recompute(plan, start, end, weights, lowered);
            }
            for i in (start..end).rev() {
                self.backward_node(plan, i, weights, grads, lowered, &mut known);
            }
            end = start;
        }
        plan.sum_now();
        known.values
    }

    fn recompute(
        &self,
        plan: &mut PlanBuilder,
        start: usize,
        end: usize,
        weights: &[TensorId],
        lowered: &mut Lowered,
    ) {
        let used_outside: HashSet<ValueId> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(i, _)| !(start..end).contains(i))
            .flat_map(|(_, n)| n.inputs.iter().copied())
            .collect();
        for i in start..end {
            let node = &self.nodes[i];
            let consumed_inside = self.nodes[i + 1..end]
                .iter()
                .any(|n| n.inputs.contains(&node.output));
            let keeps = !lowered.saved[&i].is_empty();
            if used_outside.contains(&node.output) || !consumed_inside {
                if keeps {
                    let scratch = plan.activation("recomputed", self.values[node.output.0].shape);
                    self.forward_node(plan, i, weights, lowered, Some(scratch));
                }
            } else {
                self.forward_node(plan, i, weights, lowered, None);
            }
        }
    }

    fn backward_node(
        &self,
        plan: &mut PlanBuilder,
        i: usize,
        weights: &[TensorId],
        grads: &[TensorId],
        lowered: &Lowered,
        known: &mut Gradients,
    ) {
        let Gradients {
            values: value_grads,
            slices,
            parts,
        } = known;
        let node = &self.nodes[i];
        let Some(&grad_output) = value_grads.get(&node.output) else {
            return;
        };
        let label = &self.values[node.output.0].label;
        plan.set_label(&format!("{label} (backward)"));
        plan.set_shape(self.values[node.output.0].shape);
        if let Some(tensors) = parts.remove(&node.output) {
            // The gradients of what was put together lie where they belong already.
            for (v, part) in node.inputs.iter().zip(tensors) {
                let value = &self.values[v.0];
                match value_grads.get(v) {
                    _ if !value.differentiable => {}
                    None => {
                        value_grads.insert(*v, part);
                    }
                    Some(&target) => {
                        layers::add::accumulate(plan, part, target, value.shape.words(), true);
                    }
                }
            }
            return;
        }
        let mut targets = Vec::with_capacity(node.inputs.len());
        for (k, v) in node.inputs.iter().enumerate() {
            if !self.values[v.0].differentiable || node.layer.passes_gradient(k) {
                targets.push(None);
                continue;
            }
            let before = value_grads.get(v).copied();
            let tensor = before.unwrap_or_else(|| match lowered.joints.get(v) {
                None => self.values[v.0].gradient(plan),
                Some(&both) => {
                    let (whole, tensors) = self.joint(plan, *v, both, "grad ");
                    parts.insert(*v, tensors);
                    whole
                }
            });
            value_grads.insert(*v, tensor);
            let accumulate = match node.layer.slice_of(k) {
                None => before.is_some(),
                Some(slice) => {
                    let written = slices.entry(*v).or_default();
                    let again = written.contains(&slice);
                    written.push(slice);
                    again
                }
            };
            targets.push(Some(layers::GradTarget { tensor, accumulate }));
        }
        let io = layers::Backward {
            inputs: &self.operands(node, lowered),
            params: &node.params.iter().map(|p| weights[p.0]).collect::<Vec<_>>(),
            output: layers::Operand {
                tensor: lowered.tensors[&node.output],
                shape: self.values[node.output.0].shape,
                planes: None,
            },
            saved: &lowered.saved[&i],
            grad_output,
            grad_inputs: &targets,
            grad_params: &node.params.iter().map(|p| grads[p.0]).collect::<Vec<_>>(),
            node: i,
        };
        node.layer.backward(plan, &io);
        // Operands whose gradient is the output's own: the first takes the tensor over (nothing
        // reads it any more), the others add or copy.
        let mut taken = false;
        for (k, v) in node.inputs.iter().enumerate() {
            if !self.values[v.0].differentiable || !node.layer.passes_gradient(k) {
                continue;
            }
            let value = &self.values[v.0];
            let words = value.shape.words();
            if let Some(&target) = value_grads.get(v) {
                layers::add::accumulate(plan, grad_output, target, words, true);
            } else if taken || (value.input && plan.is_half(grad_output)) {
                let copy = value.gradient(plan);
                layers::add::accumulate(plan, grad_output, copy, words, false);
                value_grads.insert(*v, copy);
            } else {
                taken = true;
                value_grads.insert(*v, grad_output);
            }
        }
    }
}

/// Gradients of values, as far as they are known.
struct Gradients {
    values: HashMap<ValueId, TensorId>,
    /// The slices that were written, of values of which consumers read slices.
    slices: HashMap<ValueId, Vec<Range<usize>>>,
    /// The two parts of gradients of what was put together without a copy.
    parts: HashMap<ValueId, [TensorId; 2]>,
}

/// Where the values of a lowered graph are.
#[derive(Debug)]
pub struct Lowered {
    /// The tensor of each value.
    pub tensors: HashMap<ValueId, TensorId>,
    saved: HashMap<usize, Vec<TensorId>>,
    /// Concatenations that are not copied, with their parts.
    joints: BTreeMap<ValueId, [ValueId; 2]>,
    /// The tensors of these parts.
    parts: HashMap<ValueId, TensorId>,
}

impl Lowered {
    /// Whether a value is a concatenation that lies in memory as two tensors, see [`Planes`].
    pub fn is_joint(&self, value: ValueId) -> bool {
        self.joints.contains_key(&value)
    }
}
