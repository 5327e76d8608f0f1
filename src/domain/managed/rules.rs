//! Judges one object: exceptions in CEL first, then the default rule.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use jiff::Timestamp;
use kube_cel::KubeCelExt;
use kube_cel::cel::{self, Context, ExecutionError, Program};

use super::cost;
use super::fields::Fields;
use super::kstatus::{self, failing, is_deleting, is_reason, telling};
use super::value::Value;

/// The functions that expressions may call.
static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| Context::default().with_all());

/// Reason of an object whose rules can't be evaluated.
const RULE_FAILED: &str = "RuleFailed";

/// The state of one managed object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is as its user wants it.
    Healthy,
    /// It is on its way, or being deleted.
    Progressing,
    /// Its user has paused it.
    Suspended,
    /// It does not do its job.
    Failing,
    /// Its rules can't be evaluated.
    Unknown,
}

/// A state with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The state.
    pub state: State,
    /// Why it is failing or unknown, in the form of a condition's reason.
    pub reason: Option<String>,
    /// Time since which it is failing, if the object tells.
    pub since: Option<Timestamp>,
}

impl From<State> for Judgement {
    fn from(state: State) -> Self {
        Self { state, reason: None, since: None }
    }
}

/// Expressions in CEL over `object` and `now`, as a type of integration has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleTexts {
    /// Whether the object is paused.
    pub suspended: Option<String>,
    /// Whether it is on its way, although the default rule may call it failing.
    pub progressing: Option<String>,
    /// Whether it is failing, although the default rule may call it healthy.
    pub failed: Option<String>,
    /// The reason of a failing object, as text. Defaults to that of its condition.
    pub reason: Option<String>,
}

/// Compiled rules for the objects of one list.
pub struct Rules {
    texts: RuleTexts,
    suspended: Option<Program>,
    progressing: Option<Program>,
    failed: Option<Program>,
    reason: Option<Program>,
    fields: Fields,
}

impl Rules {
    /// Compiles the expressions.
    ///
    /// # Errors
    /// A sentence that begins with the name of the field.
    pub fn compile(texts: RuleTexts) -> Result<Self, String> {
        let mut fields = Fields::of_every_object();
        let mut compiled = |name: &str, text: &Option<String>| {
            let program = text.as_deref().map(|text| compile(text).map_err(|error| format!("{name}: {error}")));
            let program = program.transpose()?;
            program.iter().for_each(|program| fields.add(program.expression()));
            Ok::<_, String>(program)
        };
        Ok(Self {
            suspended: compiled("suspended", &texts.suspended)?,
            progressing: compiled("progressing", &texts.progressing)?,
            failed: compiled("failed", &texts.failed)?,
            reason: compiled("reason", &texts.reason)?,
            fields,
            texts,
        })
    }

    /// The fields of an object that the rules read.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The expressions as they are written.
    pub fn texts(&self) -> &RuleTexts {
        &self.texts
    }

    /// The state of an object. `now`: the present time.
    pub fn judge(&self, object: &Value<'_>, now: Timestamp) -> Judgement {
        if self.texts == RuleTexts::default() {
            return kstatus::judge(object, now);
        }
        // An evaluation is other people's code and a cluster's data.
        let judged = catch_unwind(AssertUnwindSafe(|| self.judge_by_exceptions(object, now)));
        let judged = judged.unwrap_or(Err(Unusable));
        judged.unwrap_or_else(|Unusable| Judgement {
            reason: Some(RULE_FAILED.to_owned()),
            ..Judgement::from(State::Unknown)
        })
    }

    fn judge_by_exceptions(&self, object: &Value<'_>, now: Timestamp) -> Result<Judgement, Unusable> {
        let mut context = FUNCTIONS.new_inner_scope();
        context.add_variable_from_value("object", object.as_variable());
        context.add_variable_from_value("now", timestamp(now).ok_or(Unusable)?);
        if is_true(self.suspended.as_ref(), &context)? {
            return Ok(State::Suspended.into());
        }
        if is_deleting(object) || is_true(self.progressing.as_ref(), &context)? {
            return Ok(State::Progressing.into());
        }
        let judged = match is_true(self.failed.as_ref(), &context)? {
            true => telling(object).map_or(State::Failing.into(), |condition| failing(condition, now)),
            false => kstatus::judge(object, now),
        };
        if judged.state != State::Failing {
            return Ok(judged);
        }
        let reason = self.reason.as_ref().and_then(|reason| text(reason, &context));
        Ok(Judgement { reason: reason.or(judged.reason), ..judged })
    }
}

/// The rules can't be evaluated for an object.
struct Unusable;

fn compile(text: &str) -> Result<Program, String> {
    if text.len() > cost::MAX_TEXT {
        return Err(format!("longer than {} bytes", cost::MAX_TEXT));
    }
    cost::check_nesting(text)?;
    let program = Program::compile(text).map_err(|errors| {
        let first = errors.errors.first().map(|error| error.msg.clone()).unwrap_or_default();
        format!("not a valid CEL expression: {first}")
    })?;
    cost::check(&program.expression().expr)?;
    let references = program.references();
    if let Some(unknown) = references.functions().into_iter().find(|name| !is_function(name)) {
        return Err(format!("there is no function {unknown:?}"));
    }
    let known = cost::variables(&program.expression().expr);
    let unknown = references.variables().into_iter().find(|name| !known.contains(name));
    match unknown {
        Some(name) => Err(format!("there is no variable {name:?}: use object and now")),
        None => Ok(program),
    }
}

/// Whether an operator or a function of this name exists. Operators are not names.
fn is_function(name: &str) -> bool {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
        && name.starts_with(|first: char| first.is_ascii_alphabetic());
    let call = || Program::compile(&format!("{name}()")).ok().map(|call| call.execute(&FUNCTIONS));
    !is_name || !matches!(call(), Some(Err(ExecutionError::UndeclaredReference(_))))
}

/// Whether the expression holds. A field that the object lacks makes it false.
fn is_true(program: Option<&Program>, context: &Context<'_>) -> Result<bool, Unusable> {
    let Some(program) = program else { return Ok(false) };
    match program.execute(context) {
        Ok(cel::Value::Bool(value)) => Ok(value),
        Err(ExecutionError::NoSuchKey(_)) => Ok(false),
        Ok(_) | Err(_) => Err(Unusable),
    }
}

/// The text that the expression makes, if it looks like a reason.
fn text(program: &Program, context: &Context<'_>) -> Option<String> {
    match program.execute(context) {
        Ok(cel::Value::String(text)) if is_reason(&text) => Some(text.as_ref().clone()),
        _ => None,
    }
}

fn timestamp(time: Timestamp) -> Option<cel::Value> {
    let time = chrono::DateTime::from_timestamp(time.as_second(), 0)?;
    Some(cel::Value::Timestamp(time.fixed_offset()))
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.texts.fmt(f)
    }
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl Eq for Rules {}

impl PartialOrd for Rules {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rules {
    fn cmp(&self, other: &Self) -> Ordering {
        self.texts.cmp(&other.texts)
    }
}

impl Hash for Rules {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.texts.hash(state);
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
