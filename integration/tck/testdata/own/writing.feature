# Scenarios of our own, in the form of NebulaGraph's.
Feature: What is written can be read

  Background:
    Given an empty graph
    And create a space with following options:
      | partition_num | 3                |
      | vid_type      | FIXED_STRING(16) |
    And having executed:
      """
      CREATE TAG city(name string, people int DEFAULT 0);
      CREATE EDGE road(km double NOT NULL);
      """

  Scenario: Rows are replaced as a whole
    When try to execute query:
      """
      INSERT VERTEX city(name, people)
      VALUES "ber":("Berlin", 3700000), "ham":("Hamburg", 1900000);
      INSERT VERTEX city(name) VALUES "ham":("Hansestadt");
      """
    Then the execution should be successful
    When executing query:
      """
      FETCH PROP ON city "ber", "ham" YIELD vertex AS v
      """
    Then the result should be, in any order:
      | v                                           |
      | ("ham":city{name: "Hansestadt", people: 0}) |
      | ("ber":city{people: 3700000, name:"Berlin"}) |
    Then the result should be, in order, with relax comparison:
      | v                          |
      | ("ber")                    |
      | (:city{name:"Hansestadt"}) |
    And the result should contain:
      | v                                            |
      | ("ber":city{name: "Berlin", people: 3700000}) |
    And the result should not contain:
      | v       |
      | ("muc") |
    And drop the used space

  Scenario: Edges are seen from both ends
    When try to execute query:
      """
      INSERT EDGE road(km) VALUES "ber"->"ham"@2:(289.5)
      """
    Then the execution should be successful
    When executing query:
      """
      GO FROM "ham" OVER road REVERSELY YIELD edge AS e, road.km, {a: [1, "x"]} AS m
      """
    Then the result should be, in any order:
      | e                                   | road.km | m             |
      | [:road "ber"->"ham" @2 {km: 289.5}] | 289.5   | {a: [1, 'x']} |
    And the result should be, in any order, with relax comparison:
      | e       | road.km  | m             |
      | [:road] | /28.\.5/ | {a: [1, 'x']} |
    When executing query:
      """
      INSERT EDGE road(km) VALUES "ber"->"ham":(NULL)
      """
    Then a SemanticError should be raised at runtime: The non-nullable property
    When executing query:
      """
      INSERT EDGE road(km) VALUES "ber"->"ham":("far")
      """
    Then an ExecutionError should be raised at runtime: Storage Error: The data type does not meet
    When executing query:
      """
      INSERT EDGE road(km) VALUE "ber"->"ham":(1)
      """
    Then a SyntaxError should be raised at runtime.

  Scenario: Rows expire
    Given having executed:
      """
      CREATE TAG brief(at timestamp) TTL_DURATION = 5, TTL_COL = "at"
      """
    And wait 3 seconds
    When executing query:
      """
      INSERT VERTEX brief(at) VALUES "x":(now())
      """
    Then the execution should be successful
    And wait 7 seconds
    When executing query:
      """
      FETCH PROP ON brief "x" YIELD vertex AS v
      """
    Then the result should be, in any order:
      | v |

  Scenario Outline: Numbers have limits
    Given parameters: {"n": <n>, "list": [1, 2.5, null, {"k": "v"}]}
    When executing query:
      """
      RETURN <n> + 0 AS a, $n AS b, $list AS c, "a\|b" AS d, date("2024-01-02") AS e, 1 / 0 AS f
      """
    Then the result should be, in any order:
      | a   | b   | c                      | d      | e            | f           |
      | <n> | <n> | [1, 2.5, NULL, {k: "v"}] | "a\|b" | "2024-01-02" | DIV_BY_ZERO |
    And clear the used parameters

    Examples:
      | n  |
      | 7  |
      | -3 |

  Scenario: Users have passwords
    Given having executed:
      """
      CREATE USER IF NOT EXISTS reader WITH PASSWORD "pw"
      """
    When executing query with user "reader" with password "pw":
      """
      DROP SPACE somewhere
      """
    Then a PermissionError should be raised at runtime: No permission

  Scenario: Paths are not interpreted
    When executing query:
      """
      FIND ALL PATH FROM "a" TO "b" OVER * YIELD path AS p
      """
    Then the execution should be successful

  @skip
  Scenario: Left out
    When executing query:
      """
      NONSENSE
      """
    Then the execution should be successful
