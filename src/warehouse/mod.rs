//! Our tables in the warehouse: columns, statements.
