-- JSON in, JSON out: a stored function over documents.
--
-- A parameter of type json arrives as the Python value that the text stands for; a result of type
-- json goes back as text with SQLite's JSON subtype, so that SQLite's own JSON functions take it as
-- JSON and not as a string.

SELECT vm_create('invoice', 'python', '
from decimal import Decimal

def invoice(order, vat):
    lines = [
        {"item": line["item"], "total": float(Decimal(str(line["price"])) * line["count"])}
        for line in order["lines"]
    ]
    net = sum(line["total"] for line in lines)
    return {"lines": lines, "net": net, "gross": round(net * (1 + vat), 2)}
', '(orders json, vat double) -> json');
-- expect: 1

CREATE TEMP TABLE orders(id INTEGER PRIMARY KEY, document TEXT);
INSERT INTO orders VALUES
    (1, '{"lines": [{"item": "tea", "price": 4.10, "count": 3},
                    {"item": "cup", "price": 7, "count": 2}]}'),
    (2, '{"lines": []}'),
    (3, NULL);

SELECT id, vm_udf('invoice', document, 0.2) ->> 'gross' FROM orders ORDER BY id;
-- expect: 1|31.56
-- expect: 2|0.0
-- expect: 3|NULL

SELECT json_group_array(vm_udf('invoice', document, 0.2) -> 'net')
FROM orders WHERE document IS NOT NULL;
-- expect: [26.3,0]

SELECT line.value ->> 'item', line.value ->> 'total'
FROM orders, json_each(vm_udf('invoice', document, 0.2), '$.lines') AS line ORDER BY 2;
-- expect: tea|12.3
-- expect: cup|14.0

-- A document that is not JSON is an error of the statement, with the parser's message.
SELECT vm_udf('invoice', '{"lines": [', 0.2);
-- expect error: UDF 'invoice', row 0: argument 'orders' (position 1) is not valid JSON
