def test_demo_indexes_the_sample_photos_and_asks_for_them(prompt):
    result = prompt("demo", "--model", "tiny")
    assert result.exit_code == 0
    assert "15 added" in result.stderr
    commands = [line for line in result.stdout.splitlines() if line.startswith("$ cocasearch ")]
    assert [command.split()[2] for command in commands] == ["index", *["query"] * 5]
    best = result.stdout.split(commands[-1])[1].splitlines()[2]
    assert best.startswith(("1.000", "0.999"))
    assert "two-dogs-at-window.jpg" in best
    assert "15 unchanged" in prompt("demo", "--model", "tiny").stderr
