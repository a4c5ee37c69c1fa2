// Runs SQL statements, a JSON list of strings on standard input, one after the
// other, and prints the rows of each as JSON: a list of lists of objects.
import { DuckDBInstance } from '@duckdb/node-api';
import { readFileSync } from 'node:fs';

const instance = await DuckDBInstance.create(':memory:');
const connection = await instance.connect();
const answers = [];
for (const statement of JSON.parse(readFileSync(0, 'utf8'))) {
  const reader = await connection.runAndReadAll(statement);
  answers.push(reader.getRowObjectsJson());
}
console.log(JSON.stringify(answers));
connection.closeSync();
