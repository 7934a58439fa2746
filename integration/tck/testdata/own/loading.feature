Feature: Data of the kit is loaded

  Scenario: Into a new space
    Given load "nba" csv data to a new space
    And wait all indexes ready
    When submit a job:
      """
      SUBMIT JOB STATS
      """
    And executing query:
      """
      LOOKUP ON player WHERE player.age > 30 YIELD player.name AS name
      """
    Then the result should be, in any order:
      | name  |
      | "Ann" |

  Scenario: Into a space that is shared
    Given a graph with space named "nba"
    When executing query:
      """
      GO FROM "Ann" OVER like YIELD like._dst AS d, like.likeness AS l, like._rank AS r
      """
    Then the result should be, in any order:
      | d     | l  | r |
      | "Bob" | 90 | 3 |

  Scenario: With integers as ids
    Given load "nba_int_vid" csv data to a new space
    When executing query:
      """
      GO FROM hash("Ann") OVER like YIELD like._dst == hash("Bob") AS same
      """
    Then the result should be, in any order:
      | same |
      | true |
    When executing query:
      """
      GO FROM hash("Ann") OVER like YIELD like._dst AS d, edge AS e, [like._src] AS l, $$.player.name AS n
      """
    Then the result should be, in any order, and the columns 0,1,2 should be hashed:
      | d     | e                                  | l       | n     |
      | "Bob" | [:like "Ann"->"Bob"@3{likeness:90}] | ["Ann"] | "Bob" |
    When executing query:
      """
      FETCH PROP ON player hash("Bob") YIELD vertex AS v
      """
    Then the result should be, in any order, with relax comparison, and the columns 0 should be hashed:
      | v       |
      | ("Bob") |
    And drop the used space

  Scenario: A second time
    Given a graph with space named "nba"
    When executing query:
      """
      FETCH PROP ON * "Bob" YIELD tags(vertex) AS t
      """
    Then the result should be, in any order:
      | t          |
      | ["player"] |
