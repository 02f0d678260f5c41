//! `sluice-budget`: counts instructions a packet, and compares them with the committed budget.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_bench::budget::comparison::Comparison;
use sluice_bench::budget::{Budget, counting};

#[derive(Debug, Parser)]
#[command(about = "Count instructions a packet under callgrind, and keep them within a budget")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The program with the loads (of worker, built with --profile budget).
    #[arg(long, global = true, default_value = "target/budget/sluice-instructions")]
    program: PathBuf,
    /// Where the project is that it was built from.
    #[arg(long, global = true, default_value = ".")]
    root: PathBuf,
    #[arg(long, global = true, default_value = "bench/budget.json")]
    budget: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fail where a load's total has left its budget by more than 3 %, and say which stages did.
    Check,
    /// What is counted now is the budget.
    Bless,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments {
        command,
        program,
        root,
        budget: path,
    } = Arguments::parse();
    match command {
        Command::Check => {
            let budget = Budget::read(&path)?;
            let now = counting::count(&program, &root)?;
            Ok(check(&budget, &now))
        }
        Command::Bless => {
            let now = counting::count(&program, &root)?;
            match Budget::read(&path) {
                Ok(before) => print!("{}", Comparison::new(&before, &now).table()),
                Err(error) => println!("{error}"),
            }
            now.write(&path)?;
            println!("{}: written", path.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(budget: &Budget, now: &Budget) -> ExitCode {
    let comparison = Comparison::new(budget, now);
    println!("{}; processor: [{}]", now.rustc, now.cpu.join(" "));
    print!("{}", comparison.table());
    let findings = comparison.findings();
    for finding in &findings {
        println!("{finding}");
    }
    let differences = comparison.differences();
    for difference in &differences {
        println!("warning: {difference}: nothing is judged");
    }
    if findings.is_empty() {
        println!("all loads are within 3 % of their budget");
    }
    if findings.is_empty() || !differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
