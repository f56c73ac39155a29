//! Looking at login traces.

use mainstay_core::{Cursor, Page, PageSize};

use crate::error::{Error, Result};
use crate::ids::TraceId;
use crate::scope::{Role, Scope};
use crate::sso::Sso;
use crate::store::traces;
use crate::trace::{LoginTrace, TraceFilter};

impl Sso {
    /// One page of login traces, the newest first. Traces of logins whose connection never came to be known are seen only by
    /// whoever sees all organizations.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn trace_list(
        &self,
        scope: &Scope,
        filter: &TraceFilter,
        size: PageSize,
        after: Option<&Cursor>,
    ) -> Result<Page<LoginTrace>> {
        scope.require(Role::Read)?;
        let items =
            self.repo().read_all(traces::list(scope.organization.as_ref(), filter, size, after)).await?;
        Ok(Page::from_surplus(items, size, |last: &LoginTrace| Cursor::new(last.id.to_string())))
    }

    /// A login trace.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn trace_show(&self, scope: &Scope, id: TraceId) -> Result<LoginTrace> {
        scope.require(Role::Read)?;
        let trace: Option<LoginTrace> = self.repo().read_optional(traces::find(id)).await?;
        trace
            .filter(|trace| scope.sees(trace.organization.as_ref()))
            .ok_or_else(|| Error::not_found("there is no such login trace in this scope"))
    }
}
