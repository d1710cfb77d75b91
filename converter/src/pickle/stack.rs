//! The machine's stack, marks and memo. What lies below the last mark belongs to whoever takes the mark: nothing
//! else reaches it.

use super::arena::{Node, NodeId};
use super::error::{Limit, PickleError};
use super::machine::{Machine, Step};
use super::op::StackOp;

impl<'a> Machine<'a, '_> {
    pub(super) fn stack_op(&mut self, op: StackOp) -> Step {
        match op {
            StackOp::Mark => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            StackOp::Pop => self.discard(),
            StackOp::PopMark => self.pop_mark().map(drop),
            StackOp::Duplicate => self.top().map(|id| self.stack.push(id)),
            StackOp::Put(entry) => self.store(entry),
            StackOp::Memoize => self.store(self.memo.len() as u64),
            StackOp::Get(entry) => self.recall(entry),
        }
    }

    pub(super) fn push(&mut self, node: Node<'a>) -> Step {
        let too_many = self.over(Limit::Opcodes, u64::from(u32::MAX));
        let id = self.arena.add(node, self.offset).ok_or(too_many)?;
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn push_again(&mut self, id: NodeId) {
        self.stack.push(id);
    }

    pub(super) fn pop(&mut self) -> Result<NodeId, PickleError> {
        if self.stack.len() <= self.floor() {
            return Err(self.underflow());
        }
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    pub(super) fn top(&self) -> Result<NodeId, PickleError> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(|| self.underflow())
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Result<Vec<NodeId>, PickleError> {
        let start = self
            .stack
            .len()
            .checked_sub(count)
            .filter(|&start| start >= self.floor());
        start
            .map(|start| self.stack.split_off(start))
            .ok_or_else(|| self.underflow())
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<NodeId>, PickleError> {
        let start = self.marks.pop().ok_or_else(|| self.underflow())?;
        Ok(self.stack.split_off(start))
    }

    /// Pops a value or, where none is above it, a mark.
    fn discard(&mut self) -> Step {
        if self.stack.len() > self.floor() {
            self.stack.pop();
            return Ok(());
        }
        self.marks.pop().map(drop).ok_or_else(|| self.underflow())
    }

    /// What is above the last mark may be taken; what is below it belongs to whoever takes the mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn store(&mut self, entry: u64) -> Step {
        let id = self.top()?;
        self.memo.insert(entry, id);
        if self.memo.len() > self.limits.memo_entries {
            return Err(self.over(Limit::MemoEntries, self.limits.memo_entries as u64));
        }
        Ok(())
    }

    fn recall(&mut self, entry: u64) -> Step {
        let id = *self.memo.get(&entry).ok_or(PickleError::UnknownMemo {
            offset: self.offset,
            entry,
        })?;
        self.stack.push(id);
        Ok(())
    }
}
