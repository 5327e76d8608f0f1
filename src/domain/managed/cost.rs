//! Bounds the cost of an expression before it is ever evaluated: a type comes from a user, and its objects from a cluster.

use kube_cel::cel::common::ast::{ComprehensionExpr, Expr};

use super::fields::children;

/// Upper bound of an expression, in bytes.
pub(super) const MAX_TEXT: usize = 1024;

/// Upper bound of the elements of an array that rules see. An object with more is not judged.
pub const MAX_ELEMENTS: usize = 64;

/// Upper bound of an expression's steps for one object.
const MAX_STEPS: usize = 50_000;

/// Upper bound of brackets within each other, and of conditional operators: the parser is recursive.
const MAX_NESTING: usize = 16;

/// Upper bound of operations within each other: an evaluation is recursive.
const MAX_DEPTH: usize = 64;

/// Checks that the text can be parsed on an ordinary stack.
///
/// # Errors
/// A sentence that says what to change.
pub(super) fn check_nesting(text: &str) -> Result<(), String> {
    let (mut depth, mut deepest, mut conditions) = (0_usize, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'?' => conditions += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    match deepest <= MAX_NESTING && conditions <= MAX_NESTING {
        true => Ok(()),
        false => Err(format!("nests more than {MAX_NESTING} brackets or conditions: split it")),
    }
}

/// Checks that an evaluation takes a bounded number of steps and of bytes.
///
/// # Errors
/// A sentence that says what to change.
pub(super) fn check(expression: &Expr) -> Result<(), String> {
    let steps = steps(expression, MAX_DEPTH)?;
    match steps <= MAX_STEPS {
        true => Ok(()),
        false => Err(format!("takes up to {steps} steps for one object (at most {MAX_STEPS}): nest fewer macros")),
    }
}

/// The most steps that an evaluation can take, if each array has [`MAX_ELEMENTS`] elements.
fn steps(expression: &Expr, depth: usize) -> Result<usize, String> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(format!("has operations within each other deeper than {MAX_DEPTH}: split it"));
    };
    let of = |parts: Vec<&Expr>| {
        let mut sum: usize = 0;
        for part in parts {
            sum = sum.saturating_add(steps(part, depth)?);
        }
        Ok::<_, String>(sum)
    };
    match expression {
        Expr::Comprehension(comprehension) => {
            let ComprehensionExpr { iter_range, accu_init, loop_cond, loop_step, result, .. } = &**comprehension;
            // The result of a macro could be twice as large as its input, and that of the next one again.
            if !is_bounded(&iter_range.expr) {
                return Err("calls a macro on something that is neither a field nor a list as it stands".to_owned());
            }
            let once = of(vec![&iter_range.expr, &accu_init.expr, &result.expr])?;
            let each = of(vec![&loop_cond.expr, &loop_step.expr])?;
            Ok(once.saturating_add(each.saturating_mul(MAX_ELEMENTS)))
        }
        other => Ok(of(children(other))?.saturating_add(1)),
    }
}

/// Whether this is a field, a variable, or a list that is written out.
fn is_bounded(range: &Expr) -> bool {
    match range {
        Expr::Ident(_) | Expr::List(_) => true,
        Expr::Select(select) => is_bounded(&select.operand.expr),
        Expr::Call(call) => call.func_name == "_[_]" && call.args.first().is_some_and(|value| is_bounded(&value.expr)),
        _ => false,
    }
}

/// The variables that an expression may name: the object, the time, and those of its own macros.
pub(super) fn variables(expression: &Expr) -> Vec<&str> {
    let mut known = vec!["object", "now"];
    add_variables(expression, &mut known);
    known
}

fn add_variables<'a>(expression: &'a Expr, known: &mut Vec<&'a str>) {
    if let Expr::Comprehension(comprehension) = expression {
        known.extend([comprehension.iter_var.as_str(), comprehension.accu_var.as_str()]);
        known.extend(comprehension.iter_var2.as_deref());
    }
    children(expression).into_iter().for_each(|child| add_variables(child, known));
}
