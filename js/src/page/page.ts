// The runtime of an exported page: stub models that answer from a table, without a kernel.
export {};
