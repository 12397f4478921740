"""The test of savings.ipynb.  Run it with ``pytest notebooks/tested``; see docs/testing.md."""


def test_who_saves_more_ends_with_more(run_notebook):
    with run_notebook("savings.ipynb").open() as view:
        assert view["account"].data["balance"][0] == 1030
        view.set("deposit", value=2000)
        view.wait_until(
            lambda document: view["account"].data["balance"][0] == 2060, "twice the deposit to be twice the money"
        )
        assert view["words"].text == "After 30 years: 98,005"


def test_start_again_undoes_it(run_notebook):
    with run_notebook("savings.ipynb").open() as view:
        view.set("interest", value=8)
        view.click("reset")
        view.wait_until(lambda document: view["interest"].value == 3, "the slider to go back")
        assert view["words"].text == "After 30 years: 49,003"
