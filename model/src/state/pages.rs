//! Pages with reference counts.

use super::RESERVED;

/// The pages of one space: free ones, and how many sequences hold each of the others.
#[derive(Clone, Debug)]
pub struct PagePool {
    free: Vec<i32>,
    holders: Vec<u32>,
}

impl PagePool {
    /// A pool of `pages` pages, the reserved ones included.
    pub fn new(pages: usize) -> Self {
        PagePool { free: (RESERVED as i32..pages as i32).rev().collect(), holders: vec![0; pages] }
    }

    /// Free pages.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Takes a free page for one holder.
    pub fn take(&mut self) -> Option<i32> {
        let page = self.free.pop()?;
        self.holders[page as usize] = 1;
        Some(page)
    }

    /// Adds a holder.
    pub fn share(&mut self, page: i32) {
        self.holders[page as usize] += 1;
    }

    /// True if more than one sequence holds the page.
    pub fn is_shared(&self, page: i32) -> bool {
        self.holders[page as usize] > 1
    }

    /// Removes a holder; the last one frees the page.
    pub fn release(&mut self, page: i32) {
        let holders = &mut self.holders[page as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(page);
        }
    }
}
