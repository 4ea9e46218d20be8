//! Rows under change, with books that make a change cheap to judge.
//!
//! For each tuple: how many rows contain it, and the exclusive or of their numbers, which is the number of the row when it
//! is one. From that follows for each cell how many tuples only its row covers and would lose with the cell; so what a
//! change loses is one look-up, and what it gains is a walk over the few uncovered tuples with the new value.

use super::Row;
use super::greedy::Greedy;
use super::model::Model;
use super::tuples::{MAX_STRENGTH, Table};

/// The count of tuples that are not asked for: high enough that it never comes near to 0.
const IGNORED: u16 = 0x8000;
/// More rows than this are not searched.
pub(super) const MOST_ROWS: usize = 0x4000;

#[derive(Debug, Clone, Copy)]
struct Entry {
    count: u16,
    rows: u16,
}

/// A table and what the rows say about it.
#[derive(Clone)]
struct Ledger<'a> {
    table: &'a Table,
    entries: Vec<Entry>,
    /// Where an uncovered tuple stands in the list of open ones.
    slots: Vec<u32>,
    /// The symbols of all rows, row by row.
    symbols: Vec<u16>,
}

/// An uncovered tuple: parameters and values, the first `strength` of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) cells: [(u16, u8); MAX_STRENGTH],
    pub(super) strength: u8,
    position: u32,
}

impl Open {
    #[inline]
    pub(super) fn cells(&self) -> &[(u16, u8)] {
        &self.cells[..usize::from(self.strength)]
    }
}

/// An uncovered tuple as seen from one of its values.
#[derive(Debug, Clone, Copy)]
struct Link {
    slot: u32,
    others: [(u16, u8); MAX_STRENGTH - 1],
    number: u8,
}

#[derive(Clone)]
struct Books {
    parameters: usize,
    /// For each cell, how many tuples through it no other row covers.
    unique: Vec<u32>,
    /// For each row, how many tuples no other row covers.
    row_unique: Vec<u32>,
    slab: Vec<Open>,
    vacant: Vec<u32>,
    open: Vec<u32>,
    /// The uncovered tuples with each value of each parameter.
    links: Vec<Vec<Link>>,
    first: Vec<u32>,
}

/// Rows under change.
#[derive(Clone)]
pub(super) struct State<'a> {
    ledgers: Vec<Ledger<'a>>,
    /// The ledgers that know each parameter, and its column there.
    of: Vec<Vec<(u16, u16)>>,
    books: Books,
    /// All values, row by row.
    values: Vec<u8>,
    /// All values, parameter by parameter.
    columns: Vec<Vec<u8>>,
    number: usize,
    fan: Vec<u64>,
}

impl<'a> State<'a> {
    pub(super) fn new(model: &Model, tables: &'a [Table], states: &[Vec<u8>], rows: &[Row]) -> State<'a> {
        let parameters = model.levels().len();
        let ledgers: Vec<Ledger<'a>> = tables
            .iter()
            .zip(states)
            .map(|(table, states)| Ledger {
                table,
                entries: states
                    .iter()
                    .map(|&state| Entry { count: if Greedy::counts(state) { 0 } else { IGNORED }, rows: 0 })
                    .collect(),
                slots: vec![0; table.size()],
                symbols: Vec::new(),
            })
            .collect();
        let mut of = vec![Vec::new(); parameters];
        let mut fan = vec![0; parameters];
        for (ledger, table) in tables.iter().enumerate() {
            for (column, &parameter) in table.columns.iter().enumerate() {
                of[parameter].push((ledger as u16, column as u16));
                fan[parameter] += table.fan();
            }
        }
        let mut first = Vec::with_capacity(parameters);
        let mut symbols = 0;
        for &levels in model.levels() {
            first.push(symbols);
            symbols += u32::from(levels);
        }
        let books = Books {
            parameters,
            unique: Vec::new(),
            row_unique: Vec::new(),
            slab: Vec::new(),
            vacant: Vec::new(),
            open: Vec::new(),
            links: vec![Vec::new(); symbols as usize],
            first,
        };
        let columns = vec![Vec::new(); parameters];
        let mut state = State { ledgers, of, books, values: Vec::new(), columns, number: 0, fan };
        for row in rows {
            state.count(row);
        }
        state.settle();
        state
    }

    /// Adds a row to the counts only; [`State::settle`] does the rest.
    fn count(&mut self, row: &[u8]) {
        let number = self.number as u16;
        for ledger in &mut self.ledgers {
            let symbols = ledger.table.symbols_of(row);
            ledger.table.within(&symbols, |rank| {
                let entry = &mut ledger.entries[rank as usize];
                entry.count += 1;
                entry.rows ^= number;
            });
            ledger.symbols.extend(symbols);
        }
        self.values.extend_from_slice(row);
        for (column, &value) in self.columns.iter_mut().zip(row) {
            column.push(value);
        }
        self.number += 1;
    }

    /// Makes the books from the counts.
    fn settle(&mut self) {
        let State { ledgers, books, .. } = self;
        books.unique = vec![0; self.number * books.parameters];
        books.row_unique = vec![0; self.number];
        for ledger in ledgers.iter_mut() {
            for rank in 0..ledger.entries.len() {
                match ledger.entries[rank].count {
                    0 => ledger.slots[rank] = books.uncover(ledger.table, rank as u32),
                    1 => books.alone(ledger.table, rank as u32, (0, [0; 3]), ledger.entries[rank].rows, 1),
                    _ => {}
                }
            }
        }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    pub(super) fn row(&self, row: usize) -> &[u8] {
        let parameters = self.books.parameters;
        &self.values[row * parameters..(row + 1) * parameters]
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [u8] {
        let parameters = self.books.parameters;
        &mut self.values[row * parameters..(row + 1) * parameters]
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        (0..self.number).map(|row| self.row(row).to_vec()).collect()
    }

    /// The values of a parameter in all rows.
    #[inline]
    pub(super) fn column(&self, parameter: usize) -> &[u8] {
        &self.columns[parameter]
    }

    #[inline]
    pub(super) fn uncovered(&self) -> usize {
        self.books.open.len()
    }

    #[inline]
    pub(super) fn open(&self, at: usize) -> &Open {
        &self.books.slab[self.books.open[at] as usize]
    }

    /// How many tuples no other row covers.
    pub(super) fn alone(&self, row: usize) -> u32 {
        self.books.row_unique[row]
    }

    /// How many tuples become uncovered when a cell changes.
    #[inline]
    pub(super) fn loss(&self, row: usize, parameter: usize) -> u32 {
        self.books.unique[row * self.books.parameters + parameter]
    }

    /// How many uncovered tuples a cell would cover with another value.
    #[inline]
    pub(super) fn gain(&self, row: usize, parameter: usize, value: u8) -> u32 {
        let links = &self.books.links[(self.books.first[parameter] + u32::from(value)) as usize];
        if links.is_empty() {
            return 0;
        }
        let values = self.row(row);
        let fits = |link: &&Link| {
            link.others[..usize::from(link.number)]
                .iter()
                .all(|&(at, value)| values[usize::from(at)] == value)
        };
        links.iter().filter(fits).count() as u32
    }

    /// About how many tuples a change of the parameter touches.
    #[inline]
    pub(super) fn fan(&self, parameter: usize) -> u64 {
        self.fan[parameter]
    }

    /// Gives a cell another value.
    pub(super) fn change(&mut self, row: usize, parameter: usize, value: u8) {
        let State { ledgers, of, books, .. } = self;
        for &(at, column) in &of[parameter] {
            let ledger = &mut ledgers[usize::from(at)];
            let width = ledger.table.columns.len();
            let column = usize::from(column);
            let symbol = ledger.table.symbol(column, value);
            ledger.leave(books, row, Some(column));
            ledger.symbols[row * width + column] = symbol;
            ledger.enter(books, row, column);
        }
        self.values[row * self.books.parameters + parameter] = value;
        self.columns[parameter][row] = value;
    }

    /// Takes the last row away.
    pub(super) fn pop(&mut self) {
        let Some(row) = self.number.checked_sub(1) else { return };
        for ledger in &mut self.ledgers {
            ledger.leave(&mut self.books, row, None);
            ledger.symbols.truncate(row * ledger.table.columns.len());
        }
        self.number = row;
        let parameters = self.books.parameters;
        self.values.truncate(row * parameters);
        self.books.unique.truncate(row * parameters);
        self.books.row_unique.truncate(row);
        self.columns.iter_mut().for_each(|column| column.truncate(row));
    }

    /// Takes a row away; the last one gets its number.
    pub(super) fn remove(&mut self, row: usize) {
        let last = self.row(self.number - 1).to_vec();
        self.pop();
        if row < self.number {
            for (parameter, &value) in last.iter().enumerate() {
                if self.row(row)[parameter] != value {
                    self.change(row, parameter, value);
                }
            }
        }
    }
}

impl Ledger<'_> {
    /// Takes the tuples of a row, or those through one column, out of the counts.
    #[inline]
    fn leave(&mut self, books: &mut Books, row: usize, column: Option<usize>) {
        let Ledger { table, entries, slots, symbols } = self;
        let width = table.columns.len();
        let visit = |rank: u32, known: Known| {
            let entry = &mut entries[rank as usize];
            entry.count -= 1;
            entry.rows ^= row as u16;
            if entry.count < 2 {
                if entry.count == 0 {
                    slots[rank as usize] = books.uncover(table, rank);
                    books.alone(table, rank, known, row as u16, u32::MAX);
                } else {
                    books.alone(table, rank, known, entry.rows, 1);
                }
            }
        };
        each(table, &symbols[row * width..(row + 1) * width], column, visit);
    }

    /// The reverse of [`Ledger::leave`].
    #[inline]
    fn enter(&mut self, books: &mut Books, row: usize, column: usize) {
        let Ledger { table, entries, slots, symbols } = self;
        let width = table.columns.len();
        let visit = |rank: u32, known: Known| {
            let entry = &mut entries[rank as usize];
            if entry.count < 2 {
                if entry.count == 0 {
                    books.cover(slots[rank as usize]);
                    books.alone(table, rank, known, row as u16, 1);
                } else {
                    books.alone(table, rank, known, entry.rows, u32::MAX);
                }
            }
            entry.count += 1;
            entry.rows ^= row as u16;
        };
        each(table, &symbols[row * width..(row + 1) * width], Some(column), visit);
    }
}

/// The columns of a tuple, as far as its visitor knows them anyhow: how many, and which.
type Known = (usize, [usize; 3]);

/// Visits the tuples of a row, or those through one column.
#[inline(always)]
fn each(table: &Table, symbols: &[u16], column: Option<usize>, mut visit: impl FnMut(u32, Known)) {
    match (column, table.strength) {
        (Some(at), 2) => table.through(symbols, at, |rank, one, _| visit(rank, (2, [at, one, 0]))),
        (Some(at), 3) => table.through(symbols, at, |rank, one, two| visit(rank, (3, [at, one, two]))),
        (Some(at), _) => table.through(symbols, at, |rank, _, _| visit(rank, (0, [0; 3]))),
        (None, _) => table.within(symbols, |rank| visit(rank, (0, [0; 3]))),
    }
}

impl Books {
    /// A row has become the only one with a tuple (1), or is that no longer (-1).
    #[inline(always)]
    fn alone(&mut self, table: &Table, rank: u32, known: Known, row: u16, by: u32) {
        let row = usize::from(row);
        self.row_unique[row] = self.row_unique[row].wrapping_add(by);
        let cells = &mut self.unique[row * self.parameters..(row + 1) * self.parameters];
        let mut note = |parameter: usize| cells[parameter] = cells[parameter].wrapping_add(by);
        match known {
            (2, [one, two, _]) => [one, two].into_iter().for_each(|column| note(table.columns[column])),
            (3, columns) => columns.into_iter().for_each(|column| note(table.columns[column])),
            _ => {
                let symbols = table.unrank(rank);
                symbols[..table.strength].iter().for_each(|&symbol| note(table.parameter(symbol)));
            }
        }
    }

    fn uncover(&mut self, table: &Table, rank: u32) -> u32 {
        let mut cells = [(0, 0); MAX_STRENGTH];
        let strength = table.strength;
        for (cell, &symbol) in cells.iter_mut().zip(&table.unrank(rank)[..strength]) {
            let (column, value) = table.meaning(symbol);
            *cell = (table.columns[column] as u16, value);
        }
        let position = self.open.len() as u32;
        let open = Open { cells, strength: strength as u8, position };
        let slot = match self.vacant.pop() {
            Some(slot) => {
                self.slab[slot as usize] = open;
                slot
            }
            None => {
                self.slab.push(open);
                self.slab.len() as u32 - 1
            }
        };
        self.open.push(slot);
        for (at, &(parameter, value)) in cells[..strength].iter().enumerate() {
            let mut others = [(0, 0); MAX_STRENGTH - 1];
            let rest = cells[..strength].iter().enumerate().filter(|(other, _)| *other != at);
            others.iter_mut().zip(rest).for_each(|(place, (_, cell))| *place = *cell);
            self.links[(self.first[usize::from(parameter)] + u32::from(value)) as usize].push(Link {
                slot,
                others,
                number: strength as u8 - 1,
            });
        }
        slot
    }

    fn cover(&mut self, slot: u32) {
        let open = self.slab[slot as usize];
        self.vacant.push(slot);
        self.open.swap_remove(open.position as usize);
        if let Some(&moved) = self.open.get(open.position as usize) {
            self.slab[moved as usize].position = open.position;
        }
        for &(parameter, value) in open.cells() {
            let links = &mut self.links[(self.first[usize::from(parameter)] + u32::from(value)) as usize];
            if let Some(at) = links.iter().position(|link| link.slot == slot) {
                links.swap_remove(at);
            }
        }
    }
}
