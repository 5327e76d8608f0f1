//! The fields of an object that rules read: everything else is skipped while it is parsed.

use std::collections::BTreeMap;

use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};

/// A field, and which fields below it are read. Without any, only whether it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    all: bool,
    each: Option<Box<Fields>>,
    named: BTreeMap<String, Fields>,
}

/// A step from a value to one within it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Element,
}

/// Variables of the expression, with the paths of their values within the object.
type Scope<'a> = Vec<(&'a str, Option<Vec<Step>>)>;

impl Fields {
    /// Fields that the default rule reads, and those that identify an object.
    pub(super) fn of_every_object() -> Self {
        let mut fields = Self::default();
        for name in ["name", "namespace", "generation", "deletionTimestamp"] {
            fields.field("metadata").field(name).all = name != "deletionTimestamp";
        }
        fields.field("metadata").field("resourceVersion").all = true;
        // On the bookmark that ends the initial events of a watch.
        fields.field("metadata").field("annotations").field("k8s.io/initial-events-end");
        fields.field("status").field("observedGeneration").all = true;
        let condition = fields.field("status").field("conditions").element();
        for name in ["type", "status", "reason", "lastTransitionTime", "observedGeneration"] {
            condition.field(name).all = true;
        }
        fields
    }

    /// Adds the fields that an expression reads of the variable `object`.
    pub(super) fn add(&mut self, expression: &IdedExpr) {
        let mut scope = vec![("object", Some(Vec::new()))];
        self.add_expression(&expression.expr, &mut scope);
    }

    /// Whether everything below is read.
    pub fn reads_all(&self) -> bool {
        self.all
    }

    /// The field of this name, if it is read.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.named.get(name)
    }

    /// The elements of an array, if they are read.
    pub fn elements(&self) -> Option<&Self> {
        self.each.as_deref()
    }

    /// Whether nothing below is read: only whether the value is there.
    pub fn is_presence(&self) -> bool {
        !self.all && self.each.is_none() && self.named.is_empty()
    }

    fn field(&mut self, name: &str) -> &mut Self {
        self.named.entry(name.to_owned()).or_default()
    }

    fn element(&mut self) -> &mut Self {
        self.each.get_or_insert_default()
    }

    fn at(&mut self, path: &[Step]) -> &mut Self {
        path.iter().fold(self, |fields, step| match step {
            Step::Field(name) => fields.field(name),
            Step::Element => fields.element(),
        })
    }

    fn add_expression<'a>(&mut self, expression: &'a Expr, scope: &mut Scope<'a>) {
        if let Some(path) = path_of(expression, scope) {
            let is_test = matches!(expression, Expr::Select(select) if select.test);
            let field = self.at(&path);
            field.all |= !is_test;
            return;
        }
        match expression {
            Expr::Comprehension(comprehension) => {
                let range = path_of(&comprehension.iter_range.expr, scope);
                let element = range.map(|mut path| {
                    path.push(Step::Element);
                    self.at(&path);
                    path
                });
                // A second variable is the value of a map's entry, or an index.
                let element = element.filter(|_| comprehension.iter_var2.is_none());
                if element.is_none() {
                    self.add_expression(&comprehension.iter_range.expr, scope);
                }
                let outside = scope.len();
                scope.push((&comprehension.iter_var, element));
                scope.extend(comprehension.iter_var2.as_deref().map(|name| (name, None)));
                scope.push((&comprehension.accu_var, None));
                for part in [
                    &comprehension.accu_init,
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ] {
                    self.add_expression(&part.expr, scope);
                }
                scope.truncate(outside);
            }
            other => children(other).into_iter().for_each(|child| self.add_expression(child, scope)),
        }
    }
}

/// The path of an expression that only selects: `object.status.phase`, `object.metadata.labels['a']`.
fn path_of(expression: &Expr, scope: &Scope<'_>) -> Option<Vec<Step>> {
    match expression {
        Expr::Ident(name) => scope.iter().rev().find(|(known, _)| known == name)?.1.clone(),
        Expr::Select(select) => {
            let mut path = path_of(&select.operand.expr, scope)?;
            path.push(Step::Field(select.field.clone()));
            Some(path)
        }
        Expr::Call(CallExpr { func_name, target: None, args }) if func_name == "_[_]" => {
            let [value, index] = args.as_slice() else { return None };
            let mut path = path_of(&value.expr, scope)?;
            path.push(match &index.expr {
                Expr::Literal(LiteralValue::String(name)) => Step::Field(name.inner().to_owned()),
                Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_)) => Step::Element,
                _ => return None,
            });
            Some(path)
        }
        _ => None,
    }
}

/// The expressions that an expression is made of.
pub(super) fn children(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::Call(call) => {
            let target = call.target.iter().map(|target| &target.expr);
            target.chain(call.args.iter().map(|argument| &argument.expr)).collect()
        }
        Expr::Select(select) => vec![&select.operand.expr],
        Expr::List(list) => list.elements.iter().map(|element| &element.expr).collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| of_entry(&entry.expr)).collect(),
        Expr::Struct(made) => made.entries.iter().flat_map(|entry| of_entry(&entry.expr)).collect(),
        Expr::Comprehension(comprehension) => {
            let ComprehensionExpr { iter_range, accu_init, loop_cond, loop_step, result, .. } = &**comprehension;
            [iter_range, accu_init, loop_cond, loop_step, result].map(|part| &part.expr).to_vec()
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn of_entry(entry: &EntryExpr) -> Vec<&Expr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value.expr],
        EntryExpr::MapEntry(entry) => vec![&entry.key.expr, &entry.value.expr],
    }
}

#[cfg(test)]
mod tests {
    use kube_cel::cel::Program;

    use super::*;

    fn read_by(expression: &str) -> Fields {
        let mut fields = Fields::default();
        fields.add(Program::compile(expression).unwrap().expression());
        fields
    }

    fn at<'f>(fields: &'f Fields, path: &str) -> Option<&'f Fields> {
        path.split('.').try_fold(fields, |fields, name| match name {
            "*" => fields.elements(),
            name => fields.get(name),
        })
    }

    #[test]
    fn only_named_fields_are_read() {
        let rows = [
            ("object.status.phase == 'Failed'", "status.phase"),
            ("object.metadata.labels['app'] == 'a'", "metadata.labels.app"),
            (
                "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'False')",
                "status.conditions.*.type",
            ),
            ("object.spec.list[0].name == 'a'", "spec.list.*.name"),
            ("size(object.spec.items) > 2", "spec.items"),
            ("object.a.exists(x, object.b.exists(y, x.c == y.d))", "b.*.d"),
            ("timestamp(object.status.notAfter) < now", "status.notAfter"),
            ("object.a.map(x, x.b)[0] == 1", "a.*.b"),
        ];
        for (expression, path) in rows {
            let fields = read_by(expression);
            assert!(at(&fields, path).is_some_and(Fields::reads_all), "{expression}: {fields:?}");
            assert!(!fields.reads_all(), "{expression}");
        }
        let conditions = read_by("object.status.conditions.exists(c, c.type == 'Ready')");
        assert_eq!(at(&conditions, "status.conditions.*.message"), None);
    }

    #[test]
    fn test_for_a_field_reads_nothing_below_it() {
        let fields = read_by("has(object.status.large) && object.status.phase == 'a'");
        assert!(at(&fields, "status.large").is_some_and(Fields::is_presence), "{fields:?}");
    }

    #[test]
    fn variable_of_a_macro_hides_the_object() {
        let fields = read_by("[{'a': 1}].exists(object, object.a == 1)");
        assert_eq!(fields, Fields::default());
    }
}
