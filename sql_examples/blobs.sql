-- BLOBs: documents stored compressed, read back whole.
--
-- Bytes go in and out unchanged, zero bytes included. UPDATE computes with a UDF as SELECT does.

CREATE TEMP TABLE pages(path TEXT, body BLOB);
INSERT INTO pages VALUES
    ('/', CAST(printf('%.*c', 5000, 'x') AS BLOB)), ('/empty', x''), ('/raw', x'00ff00ff'),
    ('/missing', NULL);

CREATE TEMP TABLE archive AS SELECT path, compress(body) AS packed FROM pages;
SELECT path, typeof(packed), length(packed) < 100 FROM archive ORDER BY path;
-- expect: /|blob|1
-- expect: /empty|blob|1
-- expect: /missing|null|NULL
-- expect: /raw|blob|1

SELECT count(*) FROM pages JOIN archive USING (path) WHERE decompress(packed) = body;
-- expect: 3

UPDATE archive SET packed = decompress(packed);
SELECT hex(packed) FROM archive WHERE path = '/raw';
-- expect: 00FF00FF

-- A damaged document fails its own statement only, with the guest's error.
SELECT decompress(x'0102');
-- expect error: UDF 'decompress', row 0: zlib.error:
SELECT length(decompress(compress(body))) FROM pages WHERE path = '/';
-- expect: 5000
