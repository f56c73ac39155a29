-- A baton becomes the task of the attempt that it stands for, the latest that was given out.
UPDATE wf_tasks t SET (step, part, number) = (
  SELECT r.value #>> '{fact,attempt,step}',
    CASE r.value #>> '{fact,attempt,part}' WHEN 'body' THEN -1 WHEN 'items' THEN -2 WHEN 'undo' THEN -3
      ELSE (r.value #>> '{fact,attempt,part,item}')::bigint END,
    (r.value #>> '{fact,attempt,number}')::bigint
  FROM wf_history h, json_array_elements(h.records::json) WITH ORDINALITY r (value, place)
  WHERE h.run_id = t.run_id AND r.value #>> '{fact,is}' = 'scheduled'
  ORDER BY h.seq DESC, r.place DESC LIMIT 1
) WHERE t.step = '' AND t.part = -1;
ALTER TABLE wf_tasks DROP COLUMN begun;
