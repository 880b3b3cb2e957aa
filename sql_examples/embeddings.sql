-- Embeddings: lists of numbers in a column, compared by a function that is not trusted.
--
-- A list is JSON in SQL. The micro-VM reads it and checks that it holds what the function declares,
-- so the body sees floats; a struct comes back as JSON that SQLite's own functions take apart.

CREATE TEMP TABLE notes(id INTEGER PRIMARY KEY, title TEXT, embedding TEXT);
INSERT INTO notes VALUES
    (1, 'boats', '[0.9, 0.1, 0.0]'), (2, 'ships', '[0.8, 0.3, 0.1]'),
    (3, 'bread', '[0.0, 0.2, 0.9]'), (4, 'draft', NULL);

SELECT title, round(cosine(embedding, json_array(1, 0, 0)), 3) AS likeness
FROM notes WHERE embedding IS NOT NULL ORDER BY likeness DESC LIMIT 2;
-- expect: boats|0.994
-- expect: ships|0.93

SELECT title, outline(embedding) ->> 'largest' AS largest,
    outline(embedding) ->> '$.halves[1]' AS second
FROM notes ORDER BY id;
-- expect: boats|0.9|0.05
-- expect: ships|0.8|0.2
-- expect: bread|0.9|0.55
-- expect: draft|NULL|NULL

-- A text that is not a list of numbers is an error of its row.
SELECT cosine('[1, "two"]', '[1, 2]');
-- expect error: UDF 'cosine', row 0: argument 'a' (position 1) is not a list<item: double>
