-- What Outflow's read model offers besides its tables. @schema@ is its schema.

create table if not exists @schema@._outflow_version (
  one     boolean primary key default true check (one),
  version int not null,
  made    text not null
);
comment on table @schema@._outflow_version is 'Outflow: what made these functions';

create table if not exists @schema@._outflow_targets (
  name     text primary key,
  language text not null,
  text     boolean not null,
  vector   boolean not null,
  edge     boolean not null
);
comment on table @schema@._outflow_targets is 'Outflow: the targets, each a table of this schema, and what they can be asked';

-- The number of ones.
create or replace function @schema@._outflow_ones(bit varying) returns bigint
language sql immutable strict parallel safe as $$ select @bit_count@ $$;

-- The table of a target that can be asked for a feature.
create or replace function @schema@._outflow_table(target text, feature text) returns text
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
  have jsonb := (select to_jsonb(t) from @schema@._outflow_targets t where t.name = target);
begin
  if have is null then
    raise exception 'no target %', coalesce(quote_ident(target), 'null') using errcode = 'undefined_table',
      hint = 'the targets are: ' || coalesce((select string_agg(quote_ident(t.name), ', ' order by t.name) from @schema@._outflow_targets t), 'none yet');
  elsif not (have ->> feature)::boolean then
    raise exception 'target % has no %', quote_ident(target), feature using errcode = 'feature_not_supported',
      hint = 'set "' || feature || '" in the settings of its projection';
  end if;
  return format('%s.%I', '@schema@'::regnamespace, target);
end $$;

-- A text in lower case, the same as when it was written.
create or replace function @schema@._outflow_fold(text) returns text
language sql immutable strict parallel safe as $$ select @fold@ $$;

-- The words of an identifier: parseConfig, ParseConfig and parse_config are parse, config.
create or replace function @schema@._outflow_parts(identifier text) returns text[]
language sql immutable strict parallel safe as $$
  select array_remove(string_to_array(@schema@._outflow_fold(regexp_replace(regexp_replace(
    $1, '([a-z0-9])([A-Z])', '\1_\2', 'g'), '([A-Z])([A-Z][a-z])', '\1_\2', 'g')), '_'), '')
$$;

-- The identifiers of a text: runs of letters, digits and _, whatever the locale.
create or replace function @schema@._outflow_identifiers(input text) returns text[]
language sql immutable strict parallel safe as $$
  select array_remove(regexp_split_to_array($1,
    '[\u0001-\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u00bf\u2000-\u206f\u3000-\u303f\ufeff\ufffd]+'), '')
$$;

-- A word as it is, as a query; with prefix, all that begin with it.
create or replace function @schema@._outflow_lexeme(word text, prefix boolean default false) returns tsquery
language sql immutable parallel safe as $$
  select ('''' || replace(replace($1, '\', '\\'), '''', '''''') || '''' || case when $2 then ':*' else '' end)::tsquery
$$;

-- One word of a query: itself, and what begins with its stem. Null for a stop word.
create or replace function @schema@._outflow_word(word text, dictionary regdictionary) returns tsquery
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
  exact tsquery := @schema@._outflow_lexeme(word);
  stem text;
begin
  if dictionary is null then
    return exact;
  end if;
  stem := coalesce((ts_lexize(dictionary, word))[1], '');
  if stem = '' then
    return null;
  elsif length(stem) < 4 then
    return exact || @schema@._outflow_lexeme(stem) || @schema@._outflow_lexeme(stem || 's');
  elsif stem like '%i' then
    return exact || @schema@._outflow_lexeme(stem, true) || @schema@._outflow_lexeme(left(stem, -1) || 'y', true);
  end if;
  return exact || @schema@._outflow_lexeme(stem, true);
end $$;

-- Words in a row, as they are; the parts of identifiers among them. Null if there is none.
create or replace function @schema@._outflow_phrase(input text) returns tsquery
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
  phrase tsquery;
  word text;
begin
  foreach word in array array(select p from unnest(@schema@._outflow_identifiers(input)) with ordinality i(i, n),
                                unnest(@schema@._outflow_parts(i.i)) with ordinality p(p, m) order by i.n, p.m) loop
    phrase := case when phrase is null then @schema@._outflow_lexeme(word) else phrase <-> @schema@._outflow_lexeme(word) end;
  end loop;
  return phrase;
end $$;

-- A piece of a query between blanks. An identifier is also found where it is written in one.
create or replace function @schema@._outflow_term(term text, dictionary regdictionary) returns tsquery
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
  identifiers text[] := @schema@._outflow_identifiers(term);
  parts text[] := @schema@._outflow_parts(identifiers[1]);
begin
  if cardinality(identifiers) > 1 then
    return @schema@._outflow_phrase(term);
  elsif cardinality(parts) > 1 then
    return @schema@._outflow_phrase(term) || @schema@._outflow_lexeme(array_to_string(parts, ''));
  end if;
  return @schema@._outflow_word(parts[1], dictionary);
end $$;

-- A query as in a search engine: words, "phrases", or, -not. Stop words count only when there is nothing else.
create or replace function @schema@._outflow_query(input text, dictionary regdictionary) returns tsquery
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
  answer tsquery;
  branch tsquery;
  piece tsquery;
  m text[];
begin
  for m in select regexp_matches(input, '(-?)(?:"([^"]*)"|(\S+))', 'g') loop
    if m[1] = '' and lower(m[3]) = 'or' then
      answer := coalesce(answer || branch, answer, branch);
      branch := null;
      continue;
    end if;
    piece := case when m[3] is null then @schema@._outflow_phrase(m[2]) else @schema@._outflow_term(m[3], dictionary) end;
    piece := case when m[1] = '' then piece else !! piece end;
    branch := coalesce(branch && piece, branch, piece);
  end loop;
  answer := coalesce(answer || branch, answer, branch);
  if answer is null and dictionary is not null then
    return @schema@._outflow_query(input, null);
  end if;
  return answer;
end $$;

create or replace function @schema@.search(target text, query text, max int default 20)
returns table (key text, rank real, body jsonb)
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
  source text := @schema@._outflow_table(target, 'text');
  dictionary regdictionary := (select d.oid from @schema@._outflow_targets t join pg_ts_dict d on d.dictname = t.language || '_stem'
                                where t.name = target and d.dictnamespace = 'pg_catalog'::regnamespace);
  wanted tsquery := @schema@._outflow_query(query, dictionary);
  named tsquery := @schema@._outflow_lexeme('=' || @schema@._outflow_fold(btrim(query)));
begin
  if wanted is null then
    return;
  end if;
  return query execute format($q$
    select f.key, f.rank, t.body
      from (select s.key, ts_rank('{0.1, 0.2, 0.4, 1}', s.words, $1, 1) + (s.words @@ $2)::int::real as rank
              from %1$s s where s.words @@ $1 order by 2 desc, 1 limit $3) f
      join %1$s t on t.key = f.key
     order by f.rank desc, f.key $q$, source) using wanted, named, max;
end $$;
comment on function @schema@.search(text, text, int) is
'the records of a target that hold the words of the query, best first. Words are found in every form ("parse" finds parsing) and inside identifiers ("parse config" finds parseConfig and PARSE_CONFIG); "in quotes" they must follow each other as they are; or, and - for not, are understood. A record whose first text column is the query comes first. Example: select * from search(''symbols'', ''parse config -test'', 10)';

-- One binary digit of a vector's elements in steps of a third of most of the greatest: for each element a bit,
-- set if it is positive, then for each one, set if it is negative; or the other way round. Against the signs
-- that the writer made, these count equal and opposite signs, weighted by the element of the vector.
create or replace function @schema@._outflow_digit(vector real[], digit int, turned boolean) returns bit varying
language sql immutable strict parallel safe as $$
  select (string_agg(case when level & $2 > 0 and sign(e) = way then '1' else '0' end, '' order by n)
       || string_agg(case when level & $2 > 0 and sign(e) = -way then '1' else '0' end, '' order by n))::bit varying
    from (select e, n, case when $3 then -1 else 1 end as way,
                 least(3, round(3 / 0.7 * abs(e::float8) / (select max(abs(m::float8)) from unnest($1) m)))::int as level
            from unnest($1) with ordinality u(e, n)) l
$$;

create or replace function @schema@.nearest(target text, vector real[], max int default 10, candidates int default null)
returns table (key text, similarity real, body jsonb)
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
  source text := @schema@._outflow_table(target, 'vector');
  norm float8 := (select sqrt(sum(x::float8 * x)) from unnest(vector) x);
begin
  if norm is null or norm = 0 or norm in ('NaN', 'Infinity') or array_position(vector, null) is not null then
    raise exception 'the vector has no direction: it is empty, zero, or holds null, NaN or infinity' using errcode = 'invalid_parameter_value';
  end if;
  return query execute format($q$
    with near as materialized (
      select s.key from %1$s s where length(s.signs) = $3
       order by (@schema@._outflow_ones(s.signs & $4) - @schema@._outflow_ones(s.signs & $5)
            + 2 * (@schema@._outflow_ones(s.signs & $6) - @schema@._outflow_ones(s.signs & $7))) / sqrt(@schema@._outflow_ones(s.signs)) desc
       limit $8)
    select t.key, c.similarity::real, t.body
      from near n join %1$s t on t.key = n.key,
           lateral (select sum(a::float8 * b) / ($2 * sqrt(sum(a::float8 * a))) from unnest(t.vector, $1) u(a, b)) c(similarity)
     order by c.similarity desc, t.key limit $9 $q$, source)
  using vector, norm, 2 * cardinality(vector),
        @schema@._outflow_digit(vector, 1, false), @schema@._outflow_digit(vector, 1, true),
        @schema@._outflow_digit(vector, 2, false), @schema@._outflow_digit(vector, 2, true),
        coalesce(candidates, greatest(500, 50 * max)), max;
end $$;
comment on function @schema@.nearest(text, real[], int, int) is
'the records of a target whose vectors point most nearly the same way, by cosine similarity, best first. A first pass over the signs of all vectors picks the candidates (default: 50 times max, at least 500), whose similarity is then computed exactly; more candidates find more of the true neighbours. Vectors of another length are passed over. Example: select * from nearest(''symbols'', (select vector from symbols where key = ''x''), 10)';

create or replace function @schema@._outflow_way(direction text) returns text[]
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
  if direction is null or direction not in ('out', 'in', 'both') then
    raise exception 'direction is %: want out, in or both', coalesce(quote_literal(direction), 'null') using errcode = 'invalid_parameter_value';
  end if;
  return case direction when 'both' then '{out,in}'::text[] else array[direction] end;
end $$;

create or replace function @schema@.neighbours(target text, start text, direction text default 'out', types text[] default null, max int default 100)
returns table (key text, type text, way text, edge text, body jsonb)
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
  source text := @schema@._outflow_table(target, 'edge');
  ways text[] := @schema@._outflow_way(direction);
begin
  return query execute format($q$
    select e.key, e.type, e.way, e.edge, e.body from (
      (select edge_to as key, edge_type as type, 'out' as way, key as edge, body from %1$s
        where 'out' = any($2) and edge_from = $1 and ($3 is null or edge_type = any($3)) order by 2, 1, 4 limit $4)
      union all
      (select edge_from, edge_type, 'in', key, body from %1$s
        where 'in' = any($2) and edge_to = $1 and ($3 is null or edge_type = any($3)) order by 2, 1, 4 limit $4)) e
     order by e.way desc, e.type, e.key, e.edge limit $4 $q$, source) using start, ways, types, max;
end $$;
comment on function @schema@.neighbours(text, text, text, text[], int) is
'the edges of a target at a key: the key at the other end, the edge''s type, the way it goes as seen from the start, its own key and body. direction is out, in or both; types, if given, are the only ones followed. Example: select * from neighbours(''relations'', ''main.main'', ''out'', ''{calls}'')';

-- One step: the keys next to those of the frontier, each once, with the place in the frontier it was reached from.
create or replace function @schema@._outflow_step(source text, frontier text[], ways text[], types text[], seen text[], max int,
  out keys text[], out places int[])
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
  execute format($q$
    select array_agg(n.key order by n.place, n.key), array_agg(n.place order by n.place, n.key) from (
      select e.key, min(f.place)::int as place
        from unnest($1) with ordinality f(key, place),
             lateral (select edge_to as key from %1$s where 'out' = any($2) and edge_from = f.key and ($3 is null or edge_type = any($3))
                      union all
                      select edge_from from %1$s where 'in' = any($2) and edge_to = f.key and ($3 is null or edge_type = any($3))) e
       where e.key is not null and not exists (select from unnest($4) s(key) where s.key = e.key)
       group by e.key order by 2, 1 limit $5) n $q$, source)
  into keys, places using frontier, ways, types, seen, max;
end $$;

create or replace function @schema@.traverse(target text, start text, steps int default 3, direction text default 'out',
  types text[] default null, max int default 1000)
returns table (key text, depth int, path text[])
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  source text := @schema@._outflow_table(target, 'edge');
  ways text[] := @schema@._outflow_way(direction);
  seen text[] := array[start];
  frontier text[] := array[start];
  paths jsonb := jsonb_build_array(jsonb_build_array(start));
  step record;
begin
  for level in 1 .. $3 loop
    step := @schema@._outflow_step(source, frontier, ways, $5, seen, $6 + 1 - cardinality(seen));
    exit when step.keys is null;
    paths := (select jsonb_agg((paths -> (p - 1)) || to_jsonb(array[k]) order by n) from unnest(step.keys, step.places) with ordinality u(k, p, n));
    return query select k, level, array(select jsonb_array_elements_text(paths -> (n::int - 1)))
                   from unnest(step.keys) with ordinality u(k, n) order by n;
    frontier := step.keys;
    seen := seen || frontier;
    exit when cardinality(seen) > $6;
  end loop;
end $$;
comment on function @schema@.traverse(text, text, int, text, text[], int) is
'the keys that can be reached from a key over a target''s edges, nearest first: each once, with its depth and a shortest path. Cycles end where they close. direction is out, in or both; types, if given, are the only ones followed; max bounds the answer. Example: select * from traverse(''relations'', ''main.main'', 3, ''out'', ''{calls}'')';
